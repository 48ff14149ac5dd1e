"""Dask: a cluster of this machine, one that runs already, and one whose scheduler is a process of its own."""

from __future__ import annotations

import textwrap

import pytest

from clusters.conftest import Cluster

pytest.importorskip("distributed")

LOCAL = """
    from dask.distributed import Client, LocalCluster
    {before}
    with LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        {after}
        {body}
"""

WORKS = """
        from acme import shapes
        print(client.submit(lambda point: point.x, shapes.Point(3)).result())
        print(client.submit(shapes.double, 4).result())
        print(client.submit(shapes.Point, 5).result() == shapes.Point(5))
        print(client.submit(sum, [1, 2]).result())
"""

LATER = """
        cluster.scale(5)
        client.wait_for_workers(5)
        print(sorted(client.run(lambda: __import__("acme.other").other.VALUE).values()))
        client.restart()
        print(client.submit(shapes.double, 6).result())
"""

WORKED = ["3", "8", "True", "3"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("mm.mount('acme', URL, export=True)", ""),
        ("", "mm.mount('acme', URL); client.register_plugin(mm.integrations.dask.Plugin())"),
    ],
    ids=["exported", "plugin"],
)
def test_objects_functions_late_and_restarted_workers(cluster: Cluster, before: str, after: str) -> None:
    done = cluster.drive(LOCAL.format(before=before, after=after, body=WORKS + LATER))
    assert done.stdout.splitlines() == [*WORKED, "[1, 1, 1, 1, 1]", "12"]


def test_a_scheduler_of_its_own(cluster: Cluster) -> None:
    file = cluster.world.path / "scheduler.json"
    cluster.start(
        "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    )
    worker = ("-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--no-dashboard", "--nthreads", "1")
    cluster.start(*worker, "--nworkers", "3")
    cluster.start(*worker, "--no-nanny")
    body = f"""
        from dask.distributed import Client
        with Client(scheduler_file={str(file)!r}, timeout=120) as client:
            client.wait_for_workers(4)
            mm.mount("acme", URL)
            client.register_plugin(mm.integrations.dask.Plugin())
            print(client.run_on_scheduler(lambda: __import__("acme.other").other.VALUE))
            {textwrap.indent(WORKS, "    ")}
    """
    assert cluster.drive(body).stdout.splitlines() == ["1", *WORKED]


def test_what_was_mounted_since_comes_with_the_next_registration(cluster: Cluster) -> None:
    after = """
        client.register_plugin(mm.integrations.dask.Plugin())
        mm.mount("acme", URL)
        client.register_plugin(mm.integrations.dask.Plugin())
    """
    assert cluster.drive(LOCAL.format(before="", after=after, body=WORKS)).stdout.splitlines() == WORKED


def test_a_task_that_cannot_import_says_why(cluster: Cluster) -> None:
    """The driver has the unit; its workers have an empty cache and may ask nobody. What else they are given runs."""
    before = """
    mm.mount("acme", URL)
    from acme import shapes
    os.environ["MAGIC_MODULE_OFFLINE"] = "1"
    os.environ["MAGIC_MODULE_CACHE_DIR"] += "-of-workers"
    """
    after = "client.register_plugin(mm.integrations.dask.Plugin({**mm.export_environment(), **CHANGED}))"
    body = """
        for future in (client.submit(shapes.double, 4), client.submit(lambda point: point.x, shapes.Point(3))):
            error = future.exception()
            print(type(error).__name__, "MAGIC_MODULE_OFFLINE" in str(error))
        print(client.submit(sum, [1, 2]).result())
    """
    changed = "{'MAGIC_MODULE_CACHE_DIR': os.environ['MAGIC_MODULE_CACHE_DIR']}"
    done = cluster.drive(LOCAL.format(before=before, after=after.replace("CHANGED", changed), body=body))
    assert done.stdout.splitlines() == ["OfflineError True", "OfflineError True", "3"]


def test_a_bundle_reaches_the_cache_of_a_node_once_and_no_server_is_asked(cluster: Cluster) -> None:
    lock, bundle, server = cluster.carry()
    before = """
    from magic_module.integrations.dask import Plugin
    asked, part = [], Plugin.part
    Plugin.part = lambda self, at: asked.append(at) or part(self, at)
    # This process, in which the scheduler is, has a cache of its own.
    mm.export_environment()
    os.environ["MAGIC_MODULE_CACHE_DIR"] += "-of-workers"
    """
    after = f"""
        mm.mount_lock({str(lock.path)!r})
        import shapes
        cold = {{**mm.export_environment(), "MAGIC_MODULE_CACHE_DIR": os.environ["MAGIC_MODULE_CACHE_DIR"]}}
        client.register_plugin(Plugin(cold, bundle={str(bundle)!r}))
    """
    body = """
        print(client.submit(shapes.double, 4).result())
        cluster.scale(5)
        client.wait_for_workers(5)
        print(sorted(client.run(lambda: __import__("shapes").double(3)).values()))
        print(asked == [0, os.path.getsize(BUNDLE)])
    """.replace("BUNDLE", repr(str(bundle)))
    done = cluster.drive(LOCAL.format(before=before, after=after, body=body))
    assert done.stdout.splitlines() == ["8", "[6, 6, 6, 6, 6]", "True"]
    assert server.paths() == []
