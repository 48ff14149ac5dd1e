"""Ray on this machine: variables of the job, with and without the hook for Pythons that read no `.pth`."""

from __future__ import annotations

import pytest

from clusters.conftest import Cluster

pytest.importorskip("ray")

JOB = """
    mm.mount("acme", URL)
    import ray
    ray.init(runtime_env={runtime_env}, num_cpus=4, include_dashboard=False, log_to_driver=False)
    from acme import shapes
    {body}
    ray.shutdown()
"""

WORKS = """
    print(ray.get(ray.remote(lambda point: point.x).remote(shapes.Point(3))))
    print(ray.get(ray.remote(shapes.double).remote(4)))
    print(ray.get(ray.remote(lambda: shapes.Point(5)).remote()) == shapes.Point(5))
"""


@pytest.mark.parametrize(
    "runtime_env",
    ['{"env_vars": mm.export_environment()}', 'mm.integrations.ray.runtime_env(env_vars={"MAGIC_MODULE_START": "0"})'],
    ids=["variables", "hook"],
)
def test_objects_and_functions(cluster: Cluster, runtime_env: str) -> None:
    done = cluster.drive(JOB.format(runtime_env=runtime_env, body=WORKS))
    assert done.stdout.splitlines() == ["3", "8", "True"]


def test_a_worker_that_cannot_import_says_why(cluster: Cluster) -> None:
    offline = '{**mm.export_environment(), "MAGIC_MODULE_OFFLINE": "1", "MAGIC_MODULE_CACHE_DIR": os.environ["HOME"]}'
    body = """
    try:
        ray.get(ray.remote(shapes.double).remote(4))
    except Exception as error:
        print("OfflineError" in str(error), "MAGIC_MODULE_OFFLINE" in str(error))
    print(ray.get(ray.remote(lambda: 1 + 2).remote()))
    """
    done = cluster.drive(JOB.format(runtime_env=f'{{"env_vars": {offline}}}', body=body))
    assert done.stdout.splitlines() == ["True True", "3"]


def test_a_bundle_reaches_the_cache_of_a_node_and_no_server_is_asked(cluster: Cluster) -> None:
    lock, bundle, server = cluster.carry()
    body = f"""
    mm.mount_lock({str(lock.path)!r})
    import ray, shapes
    cold = {{**mm.export_environment(), "MAGIC_MODULE_CACHE_DIR": os.environ["MAGIC_MODULE_CACHE_DIR"] + "-of-workers"}}
    ray.init(runtime_env={{"env_vars": cold}}, num_cpus=4, include_dashboard=False, log_to_driver=False)
    print(mm.integrations.ray.seed({str(bundle)!r}))
    print(ray.get([ray.remote(shapes.double).remote(number) for number in range(8)]))
    ray.shutdown()
    """
    assert cluster.drive(body).stdout.splitlines() == ["1", "[0, 2, 4, 6, 8, 10, 12, 14]"]
    assert server.paths() == []
