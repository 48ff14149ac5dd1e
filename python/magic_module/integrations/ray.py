"""Ray: what this process mounts, in every worker of a job.

>>> ray.init(runtime_env=magic_module.integrations.ray.runtime_env())

`ray.init(runtime_env={"env_vars": magic_module.export_environment()})` is enough where workers read `.pth` files; the
hook mounts in those that do not.
"""

from __future__ import annotations

from typing import Any

from magic_module import export_environment


def runtime_env(**more: Any) -> dict[str, Any]:
    """A `runtime_env` for `ray.init()`, a job or an actor: the variables, and a hook that each worker runs first.

    Args:
        more: other keys of a `runtime_env`; what `env_vars` has already wins.
    """
    variables = {**export_environment(), **more.pop("env_vars", {})}
    return {"worker_process_setup_hook": "magic_module.integrations.mount_here", **more, "env_vars": variables}
