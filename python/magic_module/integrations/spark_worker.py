"""Spark starts this in place of `pyspark.worker`, where no daemon forks workers: `spark.python.use.daemon=false`."""

import runpy

from magic_module.integrations import mount_here

if __name__ == "__main__":
    mount_here()
    runpy.run_module("pyspark.worker", run_name="__main__", alter_sys=True)
