"""Spark on this machine, with workers that a daemon forks and with workers that are started one by one."""

from __future__ import annotations

import shutil

import pytest

from clusters.conftest import Cluster

pytest.importorskip("pyspark")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java, which is not installed", allow_module_level=True)

SESSION = """
    mm.mount("acme", URL)
    from pyspark.sql import SparkSession
    conf = mm.integrations.spark.conf(bootstrap={bootstrap}) | {more}
    builder = SparkSession.builder.master("local[4]").config(map=conf).config("spark.ui.enabled", "false")
    context = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate().sparkContext
    context.setLogLevel("OFF")
    from acme import shapes
    {body}
    context.stop()
"""

WORKS = """
    print(context.parallelize([shapes.Point(3), shapes.Point(4)], 2).map(lambda point: point.x).collect())
    print(context.parallelize([1, 2], 2).map(shapes.double).collect())
    print(context.parallelize([1, 2], 2).map(shapes.Point).collect() == [shapes.Point(1), shapes.Point(2)])
"""


@pytest.mark.parametrize("daemon", ["true", "false"])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_objects_and_functions(cluster: Cluster, bootstrap: bool, daemon: str) -> None:
    more = {"spark.python.use.daemon": daemon}
    if bootstrap:
        # As if their `.pth` files were not read.
        more["spark.executorEnv.MAGIC_MODULE_START"] = "0"
    done = cluster.drive(SESSION.format(bootstrap=bootstrap, more=more, body=WORKS))
    assert done.stdout.splitlines() == ["[3, 4]", "[2, 4]", "True"]


def test_a_worker_that_cannot_import_says_why(cluster: Cluster) -> None:
    more = {
        "spark.executorEnv.MAGIC_MODULE_OFFLINE": "1",
        "spark.executorEnv.MAGIC_MODULE_CACHE_DIR": str(cluster.world.path / "cache-of-workers"),
    }
    body = """
    try:
        context.parallelize([1, 2], 2).map(shapes.double).collect()
    except Exception as error:
        print("OfflineError" in str(error), "MAGIC_MODULE_OFFLINE" in str(error))
    print(context.parallelize([1, 2], 2).sum())
    """
    done = cluster.drive(SESSION.format(bootstrap=False, more=more, body=body))
    assert done.stdout.splitlines() == ["True True", "3"]


def test_a_bundle_is_brought_by_spark_and_no_server_is_asked(cluster: Cluster) -> None:
    """With executors of their own: locally, the driver is the only one, and works where it was started."""
    lock, bundle, server = cluster.carry()
    body = f"""
    mm.mount_lock({str(lock.path)!r})
    import shapes
    from pyspark.sql import SparkSession
    conf = mm.integrations.spark.conf(bundle={str(bundle)!r})
    conf["spark.executorEnv.MAGIC_MODULE_CACHE_DIR"] = os.environ["MAGIC_MODULE_CACHE_DIR"] + "-of-workers"
    conf |= {{"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}}
    context = SparkSession.builder.master("local-cluster[2,2,1024]").config(map=conf).getOrCreate().sparkContext
    context.setLogLevel("OFF")
    print(context.parallelize(range(8), 4).map(shapes.double).collect())
    context.stop()
    """
    assert cluster.drive(body).stdout.splitlines() == ["[0, 2, 4, 6, 8, 10, 12, 14]"]
    assert server.paths() == []
