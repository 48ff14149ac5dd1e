"""Workers are processes of their own, which find what their parent has."""

import numpy
from dask.distributed import Client, LocalCluster


def work(number: int) -> tuple[int, str]:
    import numpy as again

    return int(again.arange(number).sum()), again.__name__


if __name__ == "__main__":
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options, silence_logs=50) as cluster, Client(cluster) as client:
        print(client.gather(client.map(work, [3, 4, 5])), numpy.__name__)
