"""Spark: what this process mounts, in the Python workers of all executors.

>>> spark = SparkSession.builder.config(map=magic_module.integrations.spark.conf()).getOrCreate()
"""

from __future__ import annotations

import os
from pathlib import Path

from magic_module import export_environment

DAEMON = "magic_module.integrations.spark_daemon"
WORKER = "magic_module.integrations.spark_worker"


def conf(*, bootstrap: bool = False, bundle: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Entries for a `SparkConf`: variables for the executors.

    Args:
        bootstrap: for Pythons that read no `.pth` file (started with `-S`, or with magic_module from a `--py-files`
            archive): Spark starts them through modules that mount first.
        bundle: a file that `magic-module bundle` made. Spark brings it to each executor, whose workers look into it
            before they ask a server.
    """
    entries = {f"spark.executorEnv.{name}": value for name, value in export_environment().items()}
    if bundle is not None:
        # Spark puts files where executors work, which is also where their Python workers start.
        file = Path(bundle).absolute()
        entries |= {"spark.files": file.as_uri(), "spark.executorEnv.MAGIC_MODULE_BUNDLES": file.name}
    if bootstrap:
        entries |= {"spark.python.daemon.module": DAEMON, "spark.python.worker.module": WORKER}
    return entries
