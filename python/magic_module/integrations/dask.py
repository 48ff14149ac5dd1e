"""Dask: what this process mounts, on the scheduler and on every worker of a cluster that runs.

>>> client.register_plugin(magic_module.integrations.dask.Plugin())

Workers that come later, and those that a nanny starts again, have it from their start. Where one of them cannot import
what a task needs, the task fails with our error: without the plugin, Dask loses the worker that cannot unpickle.
A bundle is kept by the scheduler, and fetched from there by one worker of each node whose cache lacks something of it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Lock
from distributed.comm import get_address_host
from distributed.diagnostics.plugin import NannyPlugin, SchedulerPlugin, WorkerPlugin
from distributed.protocol import pickle as of_dask

from magic_module import _native, export_environment
from magic_module.integrations import inherit, mount_here, place, seed
from magic_module.integrations.dask_tasks import let_tasks_fail

if TYPE_CHECKING:
    from distributed import Nanny, Scheduler, Worker
    from distributed.node import Node

NAME = "magic_module"

#: What workers ask the scheduler for, and how much of it at a time.
ASKING = "magic_module_bundle"
PART = 16 << 20


class Plugin(SchedulerPlugin):
    """Carries the mounts of the process that makes it. Registered again, it also carries later mounts.

    Args:
        environment: variables to carry instead of those of `export_environment()`.
        bundle: a file that `magic-module bundle` made; what is in it is in every node's cache before it is needed.
    """

    name = NAME

    def __init__(
        self, environment: dict[str, str] | None = None, *, bundle: str | os.PathLike[str] | None = None
    ) -> None:
        self.environment = export_environment() if environment is None else environment
        self.artifacts = [] if bundle is None else _native._bundled(bundle)
        self.bundle = b"" if bundle is None else Path(bundle).read_bytes()

    def part(self, at: int) -> bytes:
        """Some of the bundle, for a worker."""
        return self.bundle[at : at + PART]

    async def start(self, scheduler: Scheduler) -> None:
        """On the scheduler, which unpickles what it is sent; from here it reaches all workers, those to come, too."""
        inherit(self.environment)
        if self.bundle:
            scheduler.handlers[ASKING] = self.part
            await asyncio.to_thread(seed, self.bundle)
        place(self.environment)
        # Nannies first: a worker that is started meanwhile has its environment from one.
        await scheduler.register_nanny_plugin(None, of_dask.dumps(_OfNannies(self.environment)), NAME, False)
        await scheduler.register_worker_plugin(
            None, of_dask.dumps(_OfWorkers(self.environment, self.artifacts)), NAME, idempotent=False
        )


class _OfNannies(NannyPlugin):
    name = NAME
    restart = False

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def setup(self, nanny: Nanny) -> None:
        # The first is what an interpreter finds when it starts.
        nanny.pre_spawn_env.update(self.environment)
        nanny.env.update(self.environment)


class _OfWorkers(WorkerPlugin):
    name = NAME

    def __init__(self, environment: dict[str, str], artifacts: list[str]) -> None:
        self.environment = environment
        self.artifacts = artifacts

    async def setup(self, worker: Worker) -> None:
        inherit(self.environment)
        if not _native._are_here(self.artifacts):
            # One of those on this machine; the others find it done.
            async with Lock(f"{NAME}-{get_address_host(worker.address)}", worker.scheduler, worker.loop):
                if not _native._are_here(self.artifacts):
                    await asyncio.to_thread(seed, await _fetched(worker))
        place(self.environment)
        let_tasks_fail()


async def _fetched(worker: Worker) -> bytes:
    parts: list[bytes] = []
    while part := await getattr(worker.scheduler, ASKING)(at=sum(map(len, parts))):
        parts.append(part)
    return b"".join(parts)


def dask_setup(node: Node) -> None:
    """For `--preload magic_module.integrations.dask`, where an interpreter reads no `.pth` file."""
    mount_here()
    let_tasks_fail()
