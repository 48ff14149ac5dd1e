"""Spark starts this in place of `pyspark.daemon`, which forks the workers of an executor: they inherit its mounts."""

import runpy

from magic_module.integrations import mount_here

if __name__ == "__main__":
    mount_here()
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)
