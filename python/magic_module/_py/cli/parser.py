"""Every command and option of `magic-module`, and the function that runs it."""

from __future__ import annotations

import argparse
import functools

from magic_module import _native

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    from typing import Any, NoReturn


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        # Every option that is added makes a formatter, which would ask how wide the terminal is.
        super().__init__(**options, formatter_class=functools.partial(argparse.HelpFormatter, width=80))
        self.mixes = False
        """Options may stand between names of which there may be few or many."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As ever; what mixes calls this once more for the options, and once for the rest."""
        if not self.mixes:
            return super().parse_known_args(args, namespace)
        self.mixes = False
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.mixes = True

    def format_help(self) -> str:
        """As wide as the terminal."""
        self.formatter_class = argparse.HelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        self.exit(2, f"{self.prog}: {_native._shown(message, 1500)}; see {self.prog} --help\n")


def command_line() -> argparse.ArgumentParser:
    """Every command and option."""
    top = _Parser(
        prog="magic-module",
        description="Import what you have not downloaded yet.",
        epilog="NAME is what follows `import`: magic_module.alpha",
    )
    top.add_argument("--version", action="version", version=f"magic-module {_native.__version__}")
    _add_common(top, at_top=True)
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_common(common, at_top=False)
    table = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(run: str, name: str, summary: str) -> _Parser:
        command = table.add_parser(name, help=summary, description=summary, parents=[common])
        command.set_defaults(run=run)
        return command

    publish = add(
        "publish.publish", "publish", "Turn a folder of modules and data, or a lock, into files for any static host."
    )
    publish.add_argument("source", metavar="SRC", nargs="?", help="the folder of modules; with --lock there is none")
    publish.add_argument("output", metavar="OUT", help="a folder, or s3://BUCKET/PATH; manifest.json is written last")
    publish.mixes = True
    publish.add_argument(
        "--drop-older-than", type=_days, metavar="DAYS", help="remove versions that were replaced more than DAYS ago"
    )
    publish.add_argument(
        "--sign", metavar="KEY", action="append", default=[], help="a secret key's file; may be given more than once"
    )
    publish.add_argument(
        "--compile",
        action="store_true",
        help="publish bytecode for this interpreter, too; repeat with each interpreter (and with -O) that users have",
    )
    publish.add_argument(
        "--packs-for",
        metavar="SCRIPT",
        action="append",
        default=[],
        help="with --lock: run this script, and pack what it uses of each wheel apart from the rest",
    )
    publish.add_argument(
        "--packs-for-trace",
        metavar="FILE",
        action="append",
        default=[],
        help="the same for what `run --trace-to FILE` has seen",
    )
    keygen = add("publish.keygen", "keygen", "Make a key pair that signs manifests, as the minisign tool does.")
    keygen.add_argument("file", metavar="FILE", nargs="?", default="magic-module.key", help="default: magic-module.key")
    keygen.add_argument(
        "--password", action="store_true", help="protect the key: type a password, or set MAGIC_MODULE_KEY_PASSWORD"
    )
    serve = add("publish.serve", "serve", "Serve a published folder, for trying things out.")
    serve.add_argument("directory", metavar="DIR", help="the folder that publish wrote")
    serve.add_argument("--port", type=_port, default=8765, help="0 takes a free port (default: 8765)")
    serve.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
    _add_lock(add("lock.lock", "lock", "Resolve requirements into a pylock.toml, with uv, else with pip."))
    add("describe.list_units", "list", "List the units of a namespace, downloaded or not.")
    add("describe.info", "info", "Show what is known about a unit.").add_argument("name", metavar="NAME")
    fetch = add("moves.fetch", "fetch", "Download units and what they require; import nothing.")
    fetch.add_argument("names", metavar="NAME[==VERSION]", nargs="*")
    _add_build(fetch)
    which = fetch.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every unit")
    which.add_argument("--trace-of", metavar="SCRIPT", help="run a script with the lock, and keep what it imports")
    which.add_argument(
        "--imports-of", metavar="SCRIPT", help="what a script imports, as far as a lock or a manifest has it"
    )
    check = add(
        "check.check", "check", "Say which imports of scripts are missing here, and how to get them; run nothing."
    )
    check.add_argument(
        "paths", metavar="PATH", nargs="+", help="a script, a notebook, or a folder with everything below it"
    )
    upgrade = add("moves.upgrade", "upgrade", "Move units, or all units in use, to their newest version.")
    upgrade.add_argument("names", metavar="NAME", nargs="*")
    pin = add(
        "moves.pin", "pin", "Write magic.lock: the exact content of units, or of all units in use, for this project."
    )
    pin.add_argument("names", metavar="NAME", nargs="*")
    pin.add_argument(
        "--refuse-others",
        action=argparse.BooleanOptionalAction,
        help="whether magic.lock refuses units that it does not list (default: as before, else no)",
    )
    add("moves.rollback", "rollback", "Undo the last move of a unit.").add_argument("name", metavar="NAME")
    verify = add("keep.verify", "verify", "Hash what is in the cache, and repair what is damaged.")
    verify.add_argument("names", metavar="NAME", nargs="*")
    prune = add("keep.prune", "prune", "Remove from the cache what is not needed any more.")
    prune.add_argument("--limit", type=_bytes, metavar="SIZE", help="keep at most this much, such as 500M or 2G")
    prune.add_argument(
        "--keep-trace",
        metavar="FILE",
        help="of a lock, keep only what `run --trace-to FILE` has seen, with what that requires",
    )
    seal = add("keep.seal", "seal", "Make a cache immutable: to be shared read-only, or to go into an image.")
    seal.add_argument("directory", metavar="DIR", nargs="?", help="default: the first of MAGIC_MODULE_CACHE_DIR")
    seal.add_argument("--undo", action="store_true", help="let it be written to again; nobody may use it meanwhile")
    add("keep.cache", "cache", "Show where the cache is and what is in it.")
    stats = add("stats.stats", "stats", "Show what was requested, refused and failed, and what takes up space.")
    stats.add_argument("--since", metavar="TIME", help="only decisions from this time on: 7d, 12h, 30m, 2w")
    stats.add_argument(
        "--unused-for",
        type=_days,
        default=30,
        metavar="DAYS",
        help="list what was not used for so many days (default: 30)",
    )
    run = add("run.run", "run", "Run a program with the packages of a lock, and fetch them when it imports them.")
    run.usage = "%(prog)s [options] SCRIPT | -m MODULE | -c CODE [argument ...]"
    run.add_argument("--extra", action="append", default=[], metavar="NAME", help="an extra of the lock's project")
    run.add_argument("--group", action="append", default=[], metavar="NAME", help="a group of the lock's project")
    _add_build(run)
    run.add_argument("--allow-unhashed", action="store_true", help="also accept wheels without a digest")
    run.add_argument(
        "--trace",
        action="store_true",
        help="at exit, list what was used, how large it was, and which line asked for it",
    )
    run.add_argument("--trace-to", metavar="FILE", help="write the same to a file")
    _add_limits(run)
    rest: dict[str, Any] = {"nargs": argparse.REMAINDER, "default": None}
    run.add_argument(
        "-m", dest="module", metavar="MODULE", help="run a module; everything that follows is passed to it", **rest
    )
    run.add_argument(
        "-c", dest="code", metavar="CODE", help="run a text; everything that follows is passed to it", **rest
    )
    run.add_argument(
        "program", metavar="SCRIPT", nargs=argparse.REMAINDER, help="a file, or a console script of the lock"
    )
    run.set_defaults(wrong_usage=run.error)
    add("completion.completion", "completion", "Print what makes a shell complete commands and options.").add_argument(
        "shell", choices=("bash", "zsh", "fish"), help="see its documentation for where to put this"
    )
    stubs = add("stubs.stubs", "stubs", "Write stub packages, which tell type checkers what is in units; run nothing.")
    stubs.add_argument("names", metavar="NAME[==VERSION]", nargs="+", help="their sources are fetched if need be")
    stubs.add_argument("--output", metavar="DIR", default="typings", help="default: typings, where Pyright looks")
    activate = add(
        "activate.activate", "activate", "Give every program of a virtual environment the packages of a lock."
    )
    activate.add_argument("environment", metavar="VENV", help="a virtual environment that has magic_module")
    deactivate = add("activate.deactivate", "deactivate", "Undo activate.")
    deactivate.add_argument("environment", metavar="VENV")
    install = add("install.install", "install", "Install packages as plain files, into a folder or this environment.")
    install.add_argument("names", metavar="NAME", nargs="*", help="a requirement; with --lock, a package of it")
    install.add_argument("--into", metavar="DIR", help="the folder to fill (default: the environment that runs this)")
    _add_registry(
        add("registry.list_modules", "registry", "Show what this installation approves, and lock it."), common
    )
    _add_space(add("space.list_spaces", "space", "Give each tenant packages, a policy and a log of its own."), common)
    bundle = add(
        "bundle.bundle", "bundle", "Write packages and what they require into one file, to carry to another machine."
    )
    bundle.add_argument("names", metavar="NAME", nargs="*", help="default: every package of the lock")
    bundle.add_argument("-o", "--output", metavar="FILE", required=True, help="the zip to write: work.zip")
    _add_build(bundle)
    what = bundle.add_mutually_exclusive_group()
    what.add_argument("--trace-of", metavar="SCRIPT", help="run a script with the lock, and take what it imports")
    what.add_argument(
        "--imports-of", metavar="SCRIPT", help="what a script imports, as far as a lock or a manifest has it"
    )
    bundle.add_argument(
        "--sign", metavar="KEY", help="a secret key's file: unbundle --public-key accepts what it signed"
    )
    unbundle = add(
        "bundle.unbundle", "unbundle", "Put the content of a bundle into the cache, so that no server is asked for it."
    )
    unbundle.add_argument("file", metavar="FILE")
    sync = add("sync.sync", "sync", "Lock what this folder requires, if that has changed, and make it importable.")
    sync.add_argument(
        "path", metavar="PATH", nargs="?", help="a folder, a script or a pylock.toml; default: this folder"
    )
    sync.add_argument("--prefetch", action="store_true", help="download everything in the lock now")
    doctor = add(
        "doctor.doctor", "doctor", "Check settings, cache and manifest; say what is wrong and how to correct it."
    )
    doctor.add_argument("--package", metavar="NAME", help="instead, try this package step by step, in its own process")
    doctor.add_argument("--use", metavar="CODE", help="Python code that uses the package, run as one more step")
    add("demo.demo", "demo", "Show publish, import, upgrade and healing in a temporary folder, and check each claim.")
    return top


def _add_limits(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("limits: run in processes of its own, all ended at the end")
    group.add_argument("--space", metavar="NAME", help="use the packages of a space")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="end the program after so many seconds")
    group.add_argument("--memory", type=_bytes, metavar="SIZE", help="memory of all its processes, such as 512M")
    group.add_argument("--cpu", type=_seconds, metavar="SECONDS", help="processor time of all its processes")
    group.add_argument("--open-files", type=_positive, metavar="N", help="open files of each process")
    group.add_argument("--processes", type=_positive, metavar="N", help="processes at the same time")
    group.add_argument("--no-network", action="store_true", help="refuse internet sockets, loopback included")
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable that it gets; it gets no others of yours",
    )
    group.add_argument(
        "--prefetch",
        action="append",
        default=[],
        metavar="NAME",
        help="fetch this package before the run, besides what the script is seen to import",
    )


def _add_build(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--build", action="store_true", help="have uv or pip build packages without a wheel, once; this runs their code"
    )


def _add_registry(registry: argparse.ArgumentParser, common: _Parser) -> None:
    actions = registry.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)

    def add(run: str, name: str, summary: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=summary, parents=[common])
        action.add_argument(
            "--registry", metavar="FILE", help="default: MAGIC_MODULE_REGISTRY, else the nearest modules.toml"
        )
        action.set_defaults(run=f"registry.{run}", command=f"registry {name}")
        return action

    add("list_modules", "list", "List what is approved, with versions and sizes.")
    info = add("info", "info", "Show what is known about an entry, and what it needs.")
    info.add_argument("name", metavar="NAME")
    lock = add("lock", "lock", "Resolve the whole file into one pylock.toml beside it.")
    lock.add_argument(
        "--upgrade", metavar="NAME", nargs="*", help="let versions in the lock change, of these packages or of all"
    )
    lock.add_argument(
        "--allow-index-change",
        metavar="NAME",
        action="append",
        default=[],
        help="a package that may come from another index than before",
    )
    add("check", "check", "Say what is wrong with the file, and whether its lock is stale; make no request.")
    add("init", "init", "Write a first modules.toml.")


def _add_space(space: argparse.ArgumentParser, common: _Parser) -> None:
    actions = space.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)

    def add(run: str, name: str, summary: str, *, named: bool = True) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=summary, parents=[common])
        action.set_defaults(run=f"space.{run}", command=f"space {name}")
        if named:
            action.add_argument("name", metavar="SPACE")
        return action

    create = add("create", "create", "Make a space: resolve its requirements once, and download nothing.")
    create.add_argument("names", metavar="NAME", nargs="*", help="a requirement, or a requirements file (.txt, .in)")
    create.add_argument("-r", "--requirements", metavar="FILE", action="append", default=[], help="a requirements file")
    create.add_argument("--registry", metavar="FILE", help="a modules.toml with its policy, which is copied")
    add("list_spaces", "list", "List the spaces: packages, bytes of their own, last use.", named=False)
    add("show", "show", "Show what is known about a space.")
    add("delete", "delete", "Remove a space; prune then removes what only it used.")
    lock = add("lock", "lock", "Resolve a space's requirements again; with --lock FILE, copy that lock.")
    lock.add_argument(
        "--upgrade", metavar="NAME", nargs="*", help="let versions in the lock change, of these packages or of all"
    )
    more = add("add", "add", "Add requirements, and resolve.")
    more.add_argument("names", metavar="NAME", nargs="+", help="a requirement")
    less = add("remove", "remove", "Remove requirements, and resolve.")
    less.add_argument("names", metavar="NAME", nargs="+", help="a package among its requirements")
    add("diff", "diff", "Show which packages two spaces do not have in the same version.").add_argument(
        "other", metavar="SPACE"
    )


def _add_lock(command: argparse.ArgumentParser) -> None:
    def several(*flags: str, **options: Any) -> None:
        command.add_argument(*flags, action="append", default=[], **options)

    command.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="a requirement, a requirements file (.txt, .in), or a pyproject.toml or its folder (./app); "
        "without any, the project or requirements.txt of this folder",
    )
    several("-r", "--requirement", metavar="FILE", help="a requirements file")
    command.add_argument("--script", metavar="FILE", help="a script with metadata; the lock is written beside it")
    command.add_argument(
        "-o", "--output", metavar="FILE", help="default: pylock.toml, or pylock.SCRIPT.toml for a script"
    )
    command.add_argument("--index-url", metavar="URL", help="the index to ask")
    several(
        "--extra-index-url",
        metavar="URL",
        help="an index that is asked first: a package that it has is taken from nowhere else",
    )
    several("-c", "--constraint", metavar="FILE", help="a file of allowed versions")
    command.add_argument("--python", metavar="VERSION|PATH", help="the Python to lock for (default: this interpreter)")
    command.add_argument("--exclude-newer", metavar="DATE", help="leave out everything that was uploaded later")
    several("--extra", metavar="NAME", help="an extra of the pyproject.toml")
    several("--group", metavar="NAME", help="a dependency group of the pyproject.toml")
    command.add_argument(
        "--upgrade", metavar="NAME", nargs="*", help="let versions in the lock change, of these packages or of all"
    )
    several("--allow-index-change", metavar="NAME", help="a package that may come from another index than before")
    command.add_argument(
        "--index",
        action="store_true",
        help="also write pylock.index.json: what is in the wheels that this interpreter would use, "
        "so that other machines need not ask for it",
    )


def _add_common(command: argparse.ArgumentParser, at_top: bool) -> None:
    # Before or after the command: the command's own default must not overwrite what was given before it.
    def add(group: Any, *flags: str, default: object = None, **options: Any) -> None:
        group.add_argument(*flags, default=default if at_top else argparse.SUPPRESS, **options)

    group = command.add_argument_group("where units come from (without these: the environment)")
    add(group, "--manifest-url", metavar="URL", help="instead of MAGIC_MODULE_MANIFEST_URL")
    add(group, "--public-key", metavar="KEY", action="append", help="may be given more than once")
    add(group, "--lock", metavar="FILE", help="a pylock.toml instead of a manifest: its packages are the units")
    add(group, "--namespace", metavar="NAME", help="default: magic_module; may be empty")
    add(command, "--frozen", action="store_true", default=False, help="refuse units that magic.lock does not list")
    add(command, "--json", action="store_true", default=False, help="print one JSON object with a schema number")


def _number(text: str) -> int:
    # A number in digits that everybody reads, and not so long that it is none of anything.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


def _port(text: str) -> int:
    number = _number(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, which is a number from 0 to 65535")
    return number


def _days(text: str) -> int:
    number = _number(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days")
    return number


def _positive(text: str) -> int:
    number = _number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def _bytes(text: str) -> int:
    size = _native._parse_size(text)
    if size is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500M or 2G")
    return size
