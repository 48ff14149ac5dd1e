"""What each command does: options in, an answer out. Printing and errors are `cli`'s business."""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.progress import say, size, styled
from magic_module.errors import SCHEMA, ConfigurationError, MagicModuleError

OWN = "magic_module"
"""The namespace that the environment mounts."""

MODULE_FIELDS = ("name", "version", "versions", "summary", "size", "cached", "hidden_by", "yanked")
UPGRADE_FIELDS = (
    "name",
    "old_version",
    "new_version",
    "changed",
    "files_changed",
    "bytes",
    "seconds",
    "restart_required",
)
REPORT_FIELDS = ("ok", "units", "files", "bytes", "problems", "removed")

LEFT_OUT_SHOWN = 20
"""A folder of many installed distributions would fill the screen."""


@dataclass
class Answer:
    """What a command found: `data` for machines, `lines` for people, and whether the answer is no."""

    data: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    status: int = 0


def publish(options: argparse.Namespace) -> Answer:
    """A folder becomes files for any static host."""
    namespace = OWN if options.namespace is None else options.namespace
    keys = [(key, _password_of(key)) for key in options.sign]
    compiler = None
    if options.compile:
        from magic_module._py.compiling import compiled

        compiler = compiled
    done = _native._publish(options.source, options.output, namespace, options.drop_older_than, keys, compile=compiler)
    rows = []
    for unit in done["units"]:
        if unit["changed"]:
            rows.append((unit["name"], _move(unit["old_version"], unit["version"]), _content(unit)))
    lines = table(rows)
    same = len(done["units"]) - len(rows)
    if same and rows:
        lines.append(f"{count(same, 'unit')} unchanged")
    if done["dropped"]:
        lines.append(f"{count(done['dropped'], 'file')} dropped")
    left_out = done.get("left_out", [])
    lines += [f"left out: {left['path']} ({left['reason']})" for left in left_out[:LEFT_OUT_SHOWN]]
    if len(left_out) > LEFT_OUT_SHOWN:
        lines.append(f"left out: {len(left_out) - LEFT_OUT_SHOWN} more, which --json names")
    state = f"serial {done['serial']}" if done["changed"] else "nothing changed"
    if done["signed"]:
        state += ", signed" if done["changed"] else ", but a signature was added"
    lines.append(f"{done['manifest']}: {state}")
    return Answer(dict(done), lines)


def keygen(options: argparse.Namespace) -> Answer:
    """A key pair, as the minisign tool knows it."""
    password = None
    if options.password and not _native._settings()["key_password"]:
        password = _ask_password(f"Password for {options.file}: ")
        if _ask_password("Once more: ") != password:
            raise ConfigurationError("cannot make a key: the passwords differ; try again", hint="try again")
    made = _native._keygen(options.file, password, protect=options.password)
    lines = [
        f"secret key  {made['secret']}" + ("" if options.password else " (no password: who can read it can sign)"),
        f"public key  {made['public']}",
        f"mount(..., public_key={made['public_key']!r})",
    ]
    return Answer({**made, "password": options.password}, lines)


def _password_of(key: str) -> str | None:
    """Asked for where the environment does not give it."""
    if not _native._key_needs_password(key) or _native._settings()["key_password"]:
        return None
    return _ask_password(f"Password for {key}: ")


def _ask_password(prompt: str) -> str:
    import getpass

    if not sys.stdin.isatty():
        hint = "set MAGIC_MODULE_KEY_PASSWORD, or run it in a terminal"
        raise ConfigurationError(f"a password is needed, and there is no terminal to ask for it; {hint}", hint=hint)
    password = getpass.getpass(prompt)
    if not password:
        raise ConfigurationError("the password is empty; try again", hint="try again")
    return password


def serve(options: argparse.Namespace) -> Answer | None:
    """Serves until it is interrupted; says itself where."""
    from magic_module._py.server import Request, Server

    def log(request: Request) -> None:
        if not options.json:
            say(sys.stderr, styled(shown(str(request)), "2", sys.stderr) + "\n")

    directory = Path(options.directory)
    if not (directory / "manifest.json").is_file():
        hint = f"publish into it first: magic-module publish SRC {options.directory}"
        what = "has no manifest.json" if directory.is_dir() else "is no folder"
        raise ConfigurationError(
            f"cannot serve {options.directory}: it {what}; {hint}", path=options.directory, hint=hint
        )
    try:
        server = Server(directory, bind=options.bind, port=options.port, on_request=log)
    except OSError as error:
        hint = "choose another --port or --bind"
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"cannot serve at {options.bind}:{options.port}: {reason}; {hint}", hint=hint, causes=(reason,)
        ) from None
    try:
        if options.json:
            answer = {"schema": SCHEMA, "command": "serve", "url": server.url, "manifest_url": server.manifest_url}
            print(json.dumps(answer), flush=True)
        else:
            export = "set" if os.name == "nt" else "export"
            print(f"{server.directory} is served at {server.url} until Ctrl-C; elsewhere:")
            print(f"{export} MAGIC_MODULE_MANIFEST_URL={server.manifest_url}", flush=True)
        server.run()
    except KeyboardInterrupt:
        return None  # this is how a server ends
    finally:
        server.close()
    return None


def list_units(options: argparse.Namespace) -> Answer:
    """Every unit of the namespace."""
    namespace = provide(options)
    found = _native.available(namespace)
    rows = [
        (unit.name, unit.version, size(unit.size), "cached" if unit.cached else "", unit.summary or "")
        for unit in found
    ]
    lines = table(rows, right=(2,)) or [f"the manifest of {namespace or 'the top level'} lists no unit"]
    lines += [shown(f"{unit.name} is hidden by {unit.hidden_by}") for unit in found if unit.hidden_by]
    lines += [shown(f"{unit.name} {unit.version} was taken back: {unit.yanked}") for unit in found if unit.yanked]
    return Answer({"namespace": namespace, "modules": [_fields(unit, MODULE_FIELDS) for unit in found]}, lines)


def info(options: argparse.Namespace) -> Answer:
    """What is known about a unit."""
    provide(options, [options.name])
    found = _native.info(options.name)
    rows = [
        ("name", found.name),
        ("version", found.version),
        ("versions", ", ".join(found.versions)),
        ("summary", found.summary or ""),
        ("size", size(found.size)),
        ("cached", "yes" if found.cached else "no"),
        ("hidden by", found.hidden_by or ""),
        ("yanked", found.yanked or ""),
    ]
    return Answer(_fields(found, MODULE_FIELDS), table([row for row in rows if row[1]]))


def fetch(options: argparse.Namespace) -> Answer:
    """Downloads units and what they require."""
    provide(options, options.names)
    received: dict[str, int] = {}

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "fetch":
            received[event["unit"]] = event["bytes"]

    _native.on_event(listen)
    try:
        _native.prefetch(*options.names)
    finally:
        _native.on_event(None)
    total = sum(received.values())
    names = ", ".join(options.names)
    line = f"{names}: {size(total)} downloaded" if total else f"{names}: nothing to download"
    return Answer({"names": options.names, "bytes": total}, [line])


def upgrade(options: argparse.Namespace) -> Answer:
    """Newest versions, or nothing changed."""
    # The project's lock holds what runs; what is in use moves here, and `pin` locks it.
    _native._ignore_lock()
    provide(options, options.names)
    return _upgrades(_native.upgrade(*options.names))


def pin(options: argparse.Namespace) -> Answer:
    """What is in use becomes the project's lock."""
    _native._ignore_lock()
    namespace = provide(options, options.names)
    done = _native._pin(namespace, options.names, options.refuse_others)
    others = "everything else is refused" if done["frozen"] else "other units are not held"
    lines = table(sorted(done["units"].items())) or [f"nothing of {namespace or 'the top level'} is in use"]
    return Answer(dict(done), [*lines, f"{done['path']}: {others}"])


def rollback(options: argparse.Namespace) -> Answer:
    """The version before."""
    provide(options, [options.name])
    return _upgrades([_native.rollback(options.name)])


def verify(options: argparse.Namespace) -> Answer:
    """What is damaged is healed, or named."""
    provide(options, options.names, needed=False)
    report = _native.verify(*options.names)
    checked = f"{count(report.units, 'unit')}, {count(report.files, 'file')}, {size(report.bytes)}"
    state = "no damage" if not report.problems else "healed" if report.ok else "damaged"
    return Answer(_fields(report, REPORT_FIELDS), [*report.problems, f"{checked}: {state}"], 0 if report.ok else 1)


def prune(options: argparse.Namespace) -> Answer:
    """What nothing needs is removed."""
    provide(options, needed=False)
    report = _native.prune(limit=options.limit)
    line = f"{size(report.bytes)} freed, {count(len(report.removed), 'entry', 'entries')} removed"
    return Answer(_fields(report, REPORT_FIELDS), [*report.problems, line], 0 if report.ok else 1)


def cache(options: argparse.Namespace) -> Answer:
    """Where the cache is and what is in it."""
    provide(options, needed=False)
    usage = _native._cache_usage()
    limit = usage.get("limit")
    rows = [
        ("directory", str(usage["directory"])),
        ("size", size(usage["bytes"]) + (f" of {size(limit)}" if limit else "")),
        ("blobs", str(usage["blobs"])),
        ("trees", str(usage["trees"])),
        ("mounts", str(len(usage["mounts"]))),
    ]
    mounts = [
        (
            entry["namespace"] or "(top level)",
            "" if entry["changed"] is None else time.strftime("%Y-%m-%d", time.gmtime(entry["changed"])),
            entry["manifest_url"] or "",
            entry["directory"],
        )
        for entry in usage["mounts"]
    ]
    return Answer(usage, table(rows) + [f"  {line}" for line in table(mounts)])


def doctor(options: argparse.Namespace) -> Answer:
    """What is wrong, and how to mend it."""
    from magic_module._py import doctor as checks

    findings = checks.examine(lambda: provide(options, needed=False))
    ok = all(finding.ok for finding in findings)
    lines = []
    for row, finding in zip(
        table([("ok" if f.ok else "no", f.check, f.message) for f in findings]), findings, strict=True
    ):
        lines.append(row if finding.ok else styled(row, "31", sys.stdout))
        if finding.hint and not finding.ok:
            lines.append(f"    {finding.hint}")
    lines.append("everything is well" if ok else "something is wrong")
    return Answer({"ok": ok, "findings": [vars(finding) for finding in findings]}, lines, 0 if ok else 1)


def demo(options: argparse.Namespace) -> Answer:
    """The whole story, checked."""
    from magic_module._py.demo import run

    story = run(quiet=options.json)
    return Answer({"ok": story.ok, "acts": story.acts}, [], 0 if story.ok else 1)


def provide(options: argparse.Namespace, names: Sequence[str] = (), *, needed: bool = True) -> str:
    """Mounts what the options say, and tells the namespace.

    Without options the environment's mount serves `magic_module`; another namespace is mounted by the package that
    it belongs to, which is imported for it.
    """
    if options.frozen:
        _native._freeze()
    settings = _native._settings()
    url, keys = options.manifest_url, options.public_key
    namespace: str = OWN if options.namespace is None else options.namespace
    if url is None and keys is None:
        roots = {name.partition("==")[0].partition(".")[0] for name in names} if options.namespace is None else set()
        for root in roots or {namespace}:
            if root != OWN:
                _mounted_by_its_package(root, needed)
        return namespace
    own = namespace == OWN
    url = url or (settings["manifest_url"] if own else None)
    if url is None:
        hint = "give --manifest-url" + (" or set MAGIC_MODULE_MANIFEST_URL" if own else "")
        raise ConfigurationError(f"no manifest is known for {namespace or 'the top level'}; {hint}", hint=hint)
    if own:
        keys = keys or settings["public_key"] or None
        pins = dict(pin.split("==", 1) for pin in settings["pins"])
        _native.mount(OWN, url, public_key=keys, pins=pins or None, allow_http=settings["allow_http"])
    else:
        _native.mount(namespace, url, public_key=keys)
    return namespace


def _mounted_by_its_package(namespace: str, needed: bool) -> None:
    def mounted() -> bool:
        return any(entry["namespace"] in (namespace, "") for entry in _native._mounts())

    if namespace and not mounted():
        try:
            importlib.import_module(namespace)
        except MagicModuleError:
            raise
        except ImportError:
            pass  # the sentence below says what to do about it
    if needed and not mounted():
        hint = "give --manifest-url"
        if namespace:
            hint += f", or install the package {namespace} that mounts itself, or write {OWN}.{namespace}"
        raise ConfigurationError(f"no manifest is known for {namespace or 'the top level'}; {hint}", hint=hint)


def table(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as aligned lines; the last column is ragged, `right` columns are flush right."""
    grid = [tuple(shown(cell) for cell in row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*grid, strict=True)]
    lines = []
    for row in grid:
        cells = [
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def count(number: int, word: str, words: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {word if number == 1 else words or word + 's'}"


def _upgrades(moves: Sequence["_native.Upgrade"]) -> Answer:
    lines = []
    for move in moves:
        if not move.changed:
            continue
        parts = [f"{move.name} {_move(move.old_version, move.new_version)}", count(move.files_changed, "file")]
        parts.append(size(move.bytes))
        if move.restart_required:
            parts.append("restart to use it")
        lines.append(", ".join(parts))
    if not lines:
        lines.append("nothing changed")
    return Answer({"upgrades": [_fields(move, UPGRADE_FIELDS) for move in moves]}, lines)


def _move(old: str | None, new: str | None) -> str:
    to = new or "not in use"
    return to if old is None or old == new else f"{old} → {to}"


def _content(unit: "_native._PublishedUnit") -> str:
    return f"{count(unit['files'], 'file')}, {size(unit['bytes'])}"


def _fields(value: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}
