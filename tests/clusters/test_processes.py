"""Pools of processes on one machine: what is mounted with `export=True` is there, and nothing else is set up."""

from __future__ import annotations

import pytest

from clusters.conftest import Cluster

POOL = """
    mm.mount("acme", URL, export=True)
    from acme import shapes
    {pool}
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_pool_of_the_standard_library(cluster: Cluster, method: str) -> None:
    pool = f"""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("{method}")) as pool:
        print(list(pool.map(shapes.double, range(4))))
        print(pool.submit(shapes.Point, 4).result() == shapes.Point(4))
    """
    assert cluster.drive(POOL.format(pool=pool)).stdout == "[0, 2, 4, 6]\nTrue\n"


def test_loky(cluster: Cluster) -> None:
    pytest.importorskip("joblib")
    pool = """
    from joblib import Parallel, delayed
    print(Parallel(n_jobs=4)(delayed(shapes.double)(number) for number in range(4)))
    print([point.x for point in Parallel(n_jobs=4)(delayed(shapes.Point)(number) for number in range(4))])
    """
    assert cluster.drive(POOL.format(pool=pool)).stdout == "[0, 2, 4, 6]\n[0, 1, 2, 3]\n"
