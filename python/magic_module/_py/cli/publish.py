"""What authors do: `publish`, `keygen`, `serve`."""

import argparse
import functools
import json
import os
import sys
from pathlib import Path

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.cli.answer import Answer, WrongUsage, count, move, table
from magic_module._py.cli.mounting import OWN
from magic_module._py.progress import say, size, styled
from magic_module.errors import SCHEMA, ConfigurationError

LEFT_OUT_SHOWN = 20
"""A folder of many installed distributions would fill the screen."""


def publish(options: argparse.Namespace) -> Answer:
    """A folder, or a lock with its wheels, becomes files for any static host."""
    if options.lock is None and options.source is None:
        raise WrongUsage("name a folder of modules, and the folder to write; or a lock with --lock")
    if options.lock is not None and options.source is not None:
        raise WrongUsage("--lock is published by itself: name only the folder to write")
    if options.lock is not None and options.namespace:
        raise WrongUsage("--lock has top-level names: it goes with no --namespace")
    namespace = OWN if options.namespace is None else options.namespace
    if options.lock is None and (options.packs_for or options.packs_for_trace):
        raise WrongUsage("--packs-for is for the wheels of a lock: give it with --lock")
    keys = [(key, password_of(key)) for key in options.sign]
    compiler = None
    if options.compile:
        from magic_module._py.compiling import compiled

        compiler = compiled
    older, output = options.drop_older_than, options.output
    if options.lock is None:
        done = _native._publish(options.source, output, namespace, older, keys, compile=compiler)
    else:
        # What wheels have an interpreter do when it starts is not done in a command.
        _native._skip_start()
        publish_lock = functools.partial(_native._publish_lock, options.lock, output, older, keys, compile=compiler)
        if options.packs_for or options.packs_for_trace:
            from magic_module._py.cli.packing import packs

            with packs(options) as wanted:
                done = publish_lock(packs=wanted)
        else:
            done = publish_lock()
    rows = []
    for unit in done["units"]:
        if unit["changed"]:
            content = _content(unit) if options.lock is None else size(unit["bytes"])
            rows.append((unit["name"], move(unit["old_version"], unit["version"]), content))
    lines = table(rows)
    same = len(done["units"]) - len(rows)
    if same and rows:
        lines.append(f"{count(same, 'unit' if options.lock is None else 'package')} unchanged")
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


def password_of(key: str) -> str | None:
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
        what = "has no manifest.json" if directory.is_dir() else "is not a folder"
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


def _content(unit: "_native._PublishedUnit") -> str:
    return f"{count(unit['files'], 'file')}, {size(unit['bytes'])}"
