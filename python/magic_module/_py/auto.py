"""What becomes of a name that nothing provides, where `MAGIC_MODULE_AUTO_INSTALL` says so.

```text
start      registry, ask    the lock of `modules.toml` is mounted, behind all else
a name     registry         is not in the lock: refused, if anybody knows what it is
           ask              somebody is asked ─ resolved into a lock of its own ─ mounted
```

A name is known if the registry, `[names]` or the reviewed table has it. The large table and guesses only appear in
messages: they are never installed.
"""

from dataclasses import dataclass
from typing import NoReturn

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.locking.changes import normal
from magic_module._py.locking.inputs import Wanted, inputs
from magic_module._py.locking.running import ResolverError
from magic_module._py.registry.links import resolved
from magic_module._py.registry.mounting import mounted
from magic_module._py.registry.registry import Registry
from magic_module.errors import ConfigurationError, FetchError, MagicModuleError, PolicyError, RequirementError

RULE = "MAGIC_MODULE_AUTO_INSTALL"

UNREACHABLE = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "Max retries exceeded",
    "Connection refused",
    "error sending request",
    "dns error",
    "timed out",
    "Failed to fetch",
)
"""What resolvers say where an index cannot be asked."""


@dataclass(frozen=True)
class Found:
    """What provides a name."""

    distribution: str
    wanted: Wanted
    """As a resolver is told."""
    approved: bool
    """The registry has it."""
    sure: bool
    """People said so: in the registry, in its `[names]` or its policy, or in the reviewed table."""


def mount_registry() -> None:
    """Mounts what the registry approves, when an interpreter starts.

    Raises:
        MagicModuleError: there is no registry, it has no lock, or that is stale.
    """
    settings = _native._settings()
    if settings["registry"] is None:
        if settings["auto_install"] == "registry":
            hint = "set MAGIC_MODULE_REGISTRY to a modules.toml, or unset MAGIC_MODULE_AUTO_INSTALL"
            what = "MAGIC_MODULE_AUTO_INSTALL=registry needs a registry, but none is named"
            raise ConfigurationError(f"{what}; {hint}", hint=hint)
        return
    registry = Registry(settings["registry"])
    if settings["auto_install"] == "ask" and registry.lock_state == "missing":
        return
    registry.mount()
    manifests = any(module.is_manifest for module in registry.list_modules())
    if not manifests and not registry.inputs().logins() and "vcs" not in registry.lock_path.read_text("utf-8"):
        _native._note_plain_lock()


def provide(name: str, full: str, importer: str) -> tuple[bool, str | None]:
    """Brings what has a name that nothing provides.

    Args:
        name: the top-level name.
        full: all that follows `import`.
        importer: the file that imports it.

    Returns:
        Whether something was mounted that may have it; if not, a note for whoever reads the error.

    Raises:
        MagicModuleError: it is refused, or could not be brought.
    """
    settings = _native._settings()
    registry = None if settings["registry"] is None else Registry(settings["registry"])
    found, note = _find(full, registry)
    if found is None or not found.sure:
        if note is not None:
            _native._note("refused", full, found.distribution if found else "", importer, RULE, note)
        return False, note
    if settings["auto_install"] == "registry":
        if found.approved and registry is not None and registry.lock_state != "fresh":
            registry.mount()  # says what is wrong with the lock
        _refuse_unapproved(full, found, registry, importer)
    _ask(full, found, importer)
    return _bring(full, found, importer, str(registry.path) if registry else RULE), None


def _find(full: str, registry: Registry | None) -> tuple[Found | None, str | None]:
    """What has the name, and what to say where that is not sure."""
    names = registry.document["names"] if registry else {}
    parts = full.split(".")
    said = next((names[key] for at in range(len(parts), 0, -1) if (key := ".".join(parts[:at])) in names), None)
    known = _native._known(full)
    distribution = said or (known and known["distribution"])
    if distribution is None:
        meant = known and known["meant"]
        return None, f"did you mean {meant}? Nothing is installed for a name that looks misspelt" if meant else None
    entry = _entry(registry, distribution)
    if entry is not None:
        return Found(distribution, entry, approved=True, sure=True), None
    table = "" if said or known is None else known["source"]
    requirement = distribution if said or known is None else known["requirement"] or distribution
    wanted = Wanted(f"import {full}", requirement, None, normal(distribution))
    if said or table == "reviewed" or _is_allowed(distribution):
        return Found(distribution, wanted, approved=False, sure=True), None
    how = "is known to have it" if table == "generated" else "may have it, judging by the name alone"
    place = registry.path if registry else "a modules.toml"
    note = f"{distribution} {how}, but nobody approved that: add {full} = {distribution!r} to [names] of {place}"
    return Found(distribution, wanted, approved=False, sure=False), note


def _is_allowed(distribution: str) -> bool:
    """Whether a policy lists it: whatever has the name, that one may be fetched."""
    try:
        must_ask, _, _ = _native._judge(distribution)
    except PolicyError:
        return False
    return not must_ask


def _entry(registry: Registry | None, distribution: str) -> Wanted | None:
    """What the registry asks a resolver for."""
    modules = registry.list_modules() if registry else []
    for module in modules:
        if module.distribution is not None and normal(module.distribution) == normal(distribution):
            return Wanted(f"modules.{module.name}", module.requirement, module.index, module.distribution)
    return None


def _refuse_unapproved(full: str, found: Found, registry: Registry | None, importer: str) -> NoReturn:
    place = registry.path if registry else "MAGIC_MODULE_REGISTRY"
    if found.approved:
        what = f"{found.distribution} is approved by {place}, but its lock has no module of that name"
        hint = f"check the name: `magic-module registry info {found.distribution}`"
    else:
        what = f"{found.distribution} is not among the [modules] of {place}"
        hint = (
            f"ask whoever keeps {place} to add [modules.{found.distribution}] and to run `magic-module registry lock`"
        )
    _native._note("refused", full, found.distribution, importer, "modules", what)
    raise PolicyError(
        f"`import {full}` is refused: {what}; {hint}", name=full, path=str(place), hint=hint, causes=(what,)
    )


def _ask(full: str, found: Found, importer: str) -> None:
    """Whether it may be brought at all; which version of it, is judged when it is fetched."""
    try:
        must_ask, rule, _ = _native._judge(found.distribution)
    except PolicyError as error:
        _native._note("refused", full, found.distribution, importer, str(error.path), str(error))
        raise
    if must_ask:
        rule = RULE
        said = _native._consent(full, found.distribution, importer, rule)
        if not said:
            why = (
                "the person who was asked said no" if said is not None else f"{RULE}=ask, but nobody can be asked here"
            )
            _native._note("refused", full, found.distribution, importer, rule, why)
            hint = (
                f"do without {found.distribution}, or install it: pip install {found.distribution}"
                if said is not None
                else "run it in a terminal, call magic_module.on_request(), or add it to policy.allow"
            )
            what = f"`import {full}` is refused, because {found.distribution} may not be fetched"
            raise PolicyError(f"{what}: {why}; {hint}", name=full, path=rule, hint=hint, causes=(why,))
        rule = "on_request"
    _native._note("allowed", full, found.distribution, importer, rule, "")


def _bring(full: str, found: Found, importer: str, of: str) -> bool:
    _, _, requirement = _native._judge(found.distribution)
    wanted = found.wanted
    if requirement != found.distribution and not found.approved:
        wanted = Wanted(wanted.place, requirement, None, wanted.name)
    try:
        asked = inputs(of, ["magic-module", "lock", wanted.requirement], [wanted])
        mounted(resolved(asked), asked)
    except MagicModuleError as error:
        raised = _explained(full, found, error)
        _native._note("failed", full, found.distribution, importer, "", str(raised))
        raise raised from None
    return True


def _explained(full: str, found: Found, error: MagicModuleError) -> MagicModuleError:
    """What a resolver said, in one sentence."""
    if not isinstance(error, ResolverError):
        return error
    lines = [line.strip(" ×╰─▶│") for line in error.causes]
    said = " ".join(line for line in lines if line and not line.startswith(("WARNING:", "hint:", "[notice]")))
    # uv repeats in its last sentences what follows from the first.
    said = said[max(said.find("Because "), 0) :].partition(" And because ")[0].strip().rstrip(".")
    what = f"cannot fetch {found.distribution} for `import {full}`"
    kind: type[MagicModuleError] = RequirementError
    hint = "ask for other versions: in [modules] or policy.allow of the file that MAGIC_MODULE_REGISTRY names"
    if any(word in said for word in UNREACHABLE):
        kind, hint = FetchError, "check the network, and the index that uv or pip are set to"
    said = shown(said, 600) or str(error)
    return kind(f"{what}: {said}; {hint}", name=full, hint=hint, causes=error.causes)
