"""Dask: what this process mounts, on the scheduler and on every worker of a cluster that runs.

>>> client.register_plugin(magic_module.integrations.dask.Plugin())

Workers that come later, and those that a nanny starts again, have it from their start. Where one of them cannot import
what a task needs, the task fails with our error: without the plugin, Dask loses the worker that cannot unpickle.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from distributed.diagnostics.plugin import NannyPlugin, SchedulerPlugin, WorkerPlugin
from distributed.protocol import pickle as of_dask

from magic_module import export_environment
from magic_module.errors import MagicModuleError
from magic_module.integrations import mount_here, place

if TYPE_CHECKING:
    from distributed import Nanny, Scheduler, Worker
    from distributed.node import Node

NAME = "magic_module"


class Plugin(SchedulerPlugin):
    """Carries the mounts of the process that makes it. Registered again, it carries what was mounted since.

    Args:
        environment: instead of what `export_environment()` gives here.
    """

    name = NAME

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.environment = export_environment() if environment is None else environment

    async def start(self, scheduler: Scheduler) -> None:
        """On the scheduler, which unpickles what it is sent; from here it reaches all workers, those to come, too."""
        place(self.environment)
        # Nannies first: a worker that is started meanwhile has its environment from one.
        await scheduler.register_nanny_plugin(None, of_dask.dumps(_OfNannies(self.environment)), NAME, False)
        await scheduler.register_worker_plugin(
            None, of_dask.dumps(_OfWorkers(self.environment)), NAME, idempotent=False
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

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def setup(self, worker: Worker) -> None:
        place(self.environment)
        _let_tasks_fail()


def dask_setup(node: Node) -> None:
    """For `--preload magic_module.integrations.dask`, where an interpreter reads no `.pth` file."""
    mount_here()
    _let_tasks_fail()


def _let_tasks_fail() -> None:
    """From now on the message arrives in which something cannot be imported, and the task fails that uses it."""
    strict = of_dask.loads
    if strict.__module__ == __name__:
        return

    def loads(data: bytes, *, buffers: Iterable[Any] = ()) -> Any:
        try:
            return strict(data, buffers=buffers)
        except MagicModuleError:
            return _Unpickler(io.BytesIO(data), buffers=buffers).load()

    of_dask.loads = loads


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except MagicModuleError as error:
            return _Fails(name, (), {"error": error})


class _Fails(type):
    """A class in place of what could not be imported: it is called, or one of its instances used, in the task."""

    error: MagicModuleError

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _Fails:
        return super().__new__(
            cls, name, bases, {**namespace, "__getattr__": cls.fail, "__setstate__": lambda *_: None}
        )

    def __call__(cls, *_: object, **__: object) -> NoReturn:
        raise cls.error

    @staticmethod
    def fail(instance: Any, name: str) -> NoReturn:
        raise type(instance).error
