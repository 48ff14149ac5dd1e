"""Ray: what this process mounts, in every worker of a job.

>>> ray.init(runtime_env=magic_module.integrations.ray.runtime_env())

`ray.init(runtime_env={"env_vars": magic_module.export_environment()})` is enough where workers read `.pth` files; the
hook mounts in those that do not.

>>> magic_module.integrations.ray.seed("run.zip")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from magic_module import export_environment
from magic_module.integrations import seed as _seed_here


def runtime_env(**more: Any) -> dict[str, Any]:
    """A `runtime_env` for `ray.init()`, a job or an actor: the variables, and a hook that each worker runs first.

    Args:
        more: other keys of a `runtime_env`; variables that its `env_vars` already has win.
    """
    variables = {**export_environment(), **more.pop("env_vars", {})}
    return {"worker_process_setup_hook": "magic_module.integrations.mount_here", **more, "env_vars": variables}


def seed(bundle: str | os.PathLike[str]) -> int:
    """Puts what a bundle has into the cache of every node that there is: once each, through Ray's object store.

    Args:
        bundle: a file that `magic-module bundle` made.

    Returns:
        How many nodes have it now. Call it again for nodes that came later.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    carried = ray.put(Path(bundle).read_bytes())
    # Nothing is mounted where it runs: a lock may need what the bundle has.
    alone = ray.remote(num_cpus=0, runtime_env={"env_vars": {"MAGIC_MODULE_START": "0"}})(_seed_here)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    ray.get(
        [
            alone.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, False)).remote(carried)
            for node in nodes
        ]
    )
    return len(nodes)
