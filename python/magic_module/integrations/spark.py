"""Spark: what this process mounts, in the Python workers of all executors.

>>> spark = SparkSession.builder.config(map=magic_module.integrations.spark.conf()).getOrCreate()
"""

from __future__ import annotations

from magic_module import export_environment

DAEMON = "magic_module.integrations.spark_daemon"
WORKER = "magic_module.integrations.spark_worker"


def conf(*, bootstrap: bool = False) -> dict[str, str]:
    """Entries for a `SparkConf`: variables for the executors.

    Args:
        bootstrap: for Pythons that read no `.pth` file (started with `-S`, or with magic_module from a `--py-files`
            archive): Spark starts them through modules that mount first.
    """
    entries = {f"spark.executorEnv.{name}": value for name, value in export_environment().items()}
    if bootstrap:
        entries |= {"spark.python.daemon.module": DAEMON, "spark.python.worker.module": WORKER}
    return entries
