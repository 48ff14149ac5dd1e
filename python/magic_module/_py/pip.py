"""`pip` in the view of a lock: it tells and checks as anywhere, and installs nothing into it."""

import sys

# Those of pip's general options whose value is the next argument.
_WITH_VALUE = frozenset(
    {
        "--cache-dir",
        "--cert",
        "--client-cert",
        "--exists-action",
        "--keyring-provider",
        "--log",
        "--proxy",
        "--python",
        "--resume-retries",
        "--retries",
        "--timeout",
        "--trusted-host",
        "--use-deprecated",
        "--use-feature",
    }
)

# With one of these, `pip install` leaves the environment alone.
_ELSEWHERE = ("--dry-run", "--help", "--prefix", "--root", "--target", "-h", "-t")


def refusal(arguments: "list[str]") -> "str | None":
    """Why `pip` is not run with these arguments; `None` if it may be."""
    command, rest = _command(arguments)
    names = " ".join(argument for argument in rest if not argument.startswith("-"))
    if command == "install" and not any(argument.startswith(_ELSEWHERE) for argument in rest):
        remedy = f"with {names or 'what is to be installed'} among its names"
    elif command == "uninstall":
        remedy = f"without {names or 'what is to go'}"
    else:
        return None
    return f"pip cannot {command} here: this environment follows from a lock; run `magic-module lock` again, {remedy}"


def main() -> "int | str":
    """What `bin/pip` of a view runs."""
    from importlib.util import find_spec
    from runpy import run_module

    refused = refusal(sys.argv[1:])
    if refused is not None:
        return f"error: {refused}"
    if find_spec("pip") is None:
        return "error: pip is not in this environment's lock; run `magic-module lock` again, with pip among its names"
    run_module("pip", run_name="__main__", alter_sys=True)
    return 0


def _command(arguments: "list[str]") -> "tuple[str | None, list[str]]":
    """The first argument that is neither an option nor the value of one, and what follows it."""
    remaining = iter(arguments)
    for argument in remaining:
        if argument in _WITH_VALUE:
            next(remaining, None)
        elif not argument.startswith("-"):
            return argument, list(remaining)
    return None, []
