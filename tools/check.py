"""Everything `make test` runs, one step after the other; a failing step does not stop the next ones.

    check.py                          all groups
    check.py lint rust python demo    only these
    check.py torture-long torture-network    what takes too long to be among them

What is skipped is printed with its reason, and the summary at the end names every step once more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import environments
import prerequisites
import unstable
from environments import ROOT, Failure, clean_environment, executable
from interpreters import FREE_THREADED, Interpreter, find_free_threaded, missing
from meanwhile import Making

PYTHON_FILES = ["python", "tools", *(name for name in ("tests", "examples", "benches") if (ROOT / name).is_dir())]

#: Two thirds of the tests' time go into what the engine does the same under every interpreter.
ONCE = ("-m", "not once")


@dataclass
class Run:
    """Runs steps and remembers how each ended."""

    results: list[tuple[str, str, str]] = field(default_factory=list)

    def step(self, name: str, *command: str | Path, **environment: str) -> None:
        words = [str(word) for word in command]
        print(f"\n=== {name}\n$ {' '.join(words)}", flush=True)
        begin = time.monotonic()
        status = subprocess.run(
            words, cwd=ROOT, env=clean_environment(**environment), stdin=subprocess.DEVNULL, check=False
        ).returncode
        self.note("passed" if status == 0 else "FAILED", name, f"{time.monotonic() - begin:.0f} s")

    def skip(self, name: str, reason: str) -> None:
        print(f"\n=== {name}\nskipped: {reason}", flush=True)
        self.note("skipped", name, reason)

    def note(self, state: str, name: str, detail: str) -> None:
        self.results.append((state, name, detail))

    def summary(self) -> int:
        print("\n=== summary")
        for state, name, detail in self.results:
            print(f"{state:8} {name} ({detail})")
        failed = sum(state == "FAILED" for state, _, _ in self.results)
        print(f"{failed} failed" if failed else "everything that ran passed", flush=True)
        return 1 if failed else 0


def lint(run: Run, interpreters: list[Interpreter]) -> None:
    """Formatting, lints and types."""
    python = {"PYO3_PYTHON": str(interpreters[0].executable)}
    cargo_tool(run, "cargo fmt", "fmt", ["--check"])
    for name, features in (("with Python", []), ("without Python", ["--no-default-features"])):
        more = ["--locked", "--all-targets", *features, "--", "-D", "warnings"]
        cargo_tool(run, f"clippy {name}", "clippy", more, **python)
    # Advisories need the network and change by themselves: continuous integration asks for them in a step of its own.
    cargo_tool(run, "cargo deny", "deny", ["check", "bans", "licenses", "sources"])
    tools = environments.tool_python(interpreters[0])
    run.step("ruff check", executable(tools, "ruff"), "check", *PYTHON_FILES)
    run.step("ruff format", executable(tools, "ruff"), "format", "--check", *PYTHON_FILES)
    run.step("mypy", executable(tools, "mypy"))


def rust(run: Run, interpreters: list[Interpreter]) -> None:
    """The Rust tests, without Python and with it; among them the short form of `make fuzz`."""
    core = ("--no-default-features", "--features", "scan")
    run.step("cargo test without Python", "cargo", "test", "--locked", "--no-fail-fast", *core)
    # Test programs embed the interpreter, so they need one that comes as a shared library.
    shared = next((interpreter for interpreter in interpreters if interpreter.library_directory), None)
    if shared is None:
        run.skip("cargo test with Python", "no interpreter here has a shared library to link")
        return
    library = str(shared.library_directory)
    run.step(
        "cargo test with Python",
        *("cargo", "test", "--locked", "--no-fail-fast"),
        PYO3_PYTHON=str(shared.executable),
        LD_LIBRARY_PATH=library,
        DYLD_LIBRARY_PATH=library,
    )


def python(run: Run, interpreters: list[Interpreter]) -> None:
    """The Python tests on every interpreter; those that depend on none on the newest."""
    _python(run, interpreters, *ONCE)


def python_whole(run: Run, interpreters: list[Interpreter]) -> None:
    """Every Python test on every interpreter."""
    _python(run, interpreters)


def _python(run: Run, interpreters: list[Interpreter], *short: str) -> None:
    """Against the one release wheel; `short`: what all interpreters but the newest are given."""
    tools = environments.tool_python_with_wheel(interpreters[0])
    run.step(
        "stubtest",
        *(tools, "-m", "mypy.stubtest", "magic_module"),
        *("--allowlist", ROOT / "tools" / "stubtest-allowlist.txt", "--ignore-unused-allowlist"),
        *("--mypy-config-file", ROOT / "pyproject.toml"),
        MYPYPATH="",
    )
    _suites(run, interpreters, *short)


def python_wheel(run: Run, interpreters: list[Interpreter]) -> None:
    """Every Python test on every interpreter, with a wheel that is there: nothing of Rust is needed."""
    _suites(run, interpreters)


def _suites(run: Run, interpreters: list[Interpreter], *short: str) -> None:
    for interpreter in interpreters:
        version = ".".join(map(str, interpreter.version))
        try:
            tests = environments.test_python(interpreter)
        except Failure as failure:
            run.note("FAILED", f"the environment of {version}", str(failure))
            continue
        # The tests wait for servers that stall and processes that start: with two workers for each core, nobody
        # computes for two fifths of the time.
        workers = str(3 * (os.cpu_count() or 1))
        some = short if interpreter is not interpreters[-1] else ()
        name = f"pytest on {version}" + (", without what depends on no interpreter" if some else "")
        run.step(name, tests, "-m", "pytest", "-q", "-n", workers, "--dist", "worksteal", *some)
    for minor in missing(interpreters):
        run.skip(f"pytest on {minor}", "no such interpreter with venv found, or not among PYTHONS")


def free_threaded(run: Run, interpreters: list[Interpreter]) -> None:
    """How imports behave without a global interpreter lock, from a wheel that is built for each such interpreter.

    The one wheel for all of 3.15 is tried on each 3.15, also on one with the lock.
    """
    found = find_free_threaded()
    newest = [each for each in [*interpreters, *found] if each.version >= (3, 15)]
    for name, make, those in (
        ("", environments.free_threaded_python, [each for each in found if each not in newest]),
        (" from the wheel for all of 3.15", environments.abi3t_python, newest),
    ):
        for each in those:
            version = f"{'.'.join(map(str, each.version))}{'t' if each.free_threaded else ''}{name}"
            try:
                python = make(each)
            except Failure as failure:
                run.note("FAILED", f"the environment of {version}", str(failure))
                continue
            tests = sorted((ROOT / "tests" / "python").glob("test_behaviour_*.py"))
            workers = str(3 * (os.cpu_count() or 1))
            run.step(f"behaviours on {version}", python, "-m", "pytest", "-q", "-n", workers, *tests)
    for minor in FREE_THREADED:
        if minor not in {each.minor for each in found}:
            run.skip(f"behaviours on {minor}", "no such interpreter found, or not among PYTHONS")


def newest(run: Run, interpreters: list[Interpreter]) -> None:
    """Every Python test on the interpreters of Debian's unstable suite."""
    root = unstable.root()
    run.step("the interpreters of Debian's unstable suite", *unstable.inside(root, "tools/check.py", "python-wheel"))


def demo(run: Run, interpreters: list[Interpreter]) -> None:
    """The story of the README, told by the product itself."""
    tools = environments.tool_python_with_wheel(interpreters[0])
    run.step("demo", tools, "-m", "magic_module", "demo")


def docs(run: Run, interpreters: list[Interpreter]) -> None:
    """The documentation site, and every link in it."""
    try:
        environments.documentation_python(interpreters[-1])
    except Failure as failure:
        run.skip("documentation site", str(failure))
        return
    run.step("documentation site", sys.executable, ROOT / "tools" / "documentation.py")


def lock(run: Run, interpreters: list[Interpreter]) -> None:
    """Programs with real packages, lazily and installed: a handful, or those of the folder in the variable USES."""
    tests = environments.test_python(interpreters[-1])
    uses = [os.environ["USES"]] if os.environ.get("USES") else []
    run.step("programs with real packages", tests, ROOT / "tests" / "lock" / "compare.py", *uses)


def clusters(run: Run, interpreters: list[Interpreter]) -> None:
    """Mounts on a cluster of this machine: Dask and pools of processes."""
    _clusters(run, interpreters, "clusters-short")
    run.skip("Ray and Spark", "they are large; make test-clusters has them")


def clusters_long(run: Run, interpreters: list[Interpreter]) -> None:
    """The same with Ray and Spark."""
    _clusters(run, interpreters, "clusters")


def clouds(run: Run, interpreters: list[Interpreter]) -> None:
    """Object stores as others speak them: moto is S3, azurite is Azure where it is installed."""
    _with_packages(run, interpreters, "clouds", "tests/clouds", workers=2)
    if not (os.environ.get("AZURITE") or shutil.which("azurite-blob")):
        run.skip("Azure", "azurite is not installed: npm install azurite, and let AZURITE name its azurite-blob")
    run.skip("Google", "no emulator of its XML interface comes with a package index")


def platform(run: Run, interpreters: list[Interpreter]) -> None:
    """The example platform: its server, and its page in a browser."""
    _with_packages(run, interpreters, "platform", "tests/example_platform", workers=1)


def neighbours(run: Run, interpreters: list[Interpreter]) -> None:
    """Tools of others: PyInstaller, IPython, debugpy, type checkers, and shells that complete commands."""
    _with_packages(run, interpreters, "neighbours", "tests/neighbours", workers=os.cpu_count() or 1)


def _clusters(run: Run, interpreters: list[Interpreter], name: str) -> None:
    _with_packages(run, interpreters, name, "tests/clusters", workers=os.cpu_count() or 1)


def _with_packages(run: Run, interpreters: list[Interpreter], name: str, tests: str, workers: int) -> None:
    """Tests that need packages which nothing else needs; without a package index they are skipped."""
    try:
        python = environments.named_python(name, interpreters[-1])
    except Failure as failure:
        run.skip(name, str(failure))
        return
    run.step(name, python, "-m", "pytest", "-q", "-n", str(workers), tests)


def torture(run: Run, interpreters: list[Interpreter]) -> None:
    """Crashes, faults, power cuts, mutated caches, small disks, a model and networks, in a minute or two."""
    _torture(run, interpreters, "--short")


def torture_long(run: Run, interpreters: list[Interpreter]) -> None:
    """The same until the figures of docs/concepts/security.md are reached; not part of `make test`."""
    _torture(run, interpreters)


def torture_network(run: Run, interpreters: list[Interpreter]) -> None:
    """A thousand schedules of a faulty server, the same from the import on, and a hundred processes at once."""
    schedules = ("--", "--ignored", "--nocapture", "schedules")
    cargo = ("cargo", "test", "--release", "--locked", "--no-default-features", "--test", "fetch")
    run.step("network schedules", *cargo, *schedules)
    _torture(run, interpreters, "network", "crowd")


def _torture(run: Run, interpreters: list[Interpreter], *options: str) -> None:
    if not sys.platform.startswith("linux"):
        run.skip("torture", "its fault layer is preloaded, which this system does not know")
        return
    tests = environments.test_python(interpreters[0])
    run.step("torture", tests, ROOT / "tests" / "torture" / "torture.py", *options)


def cargo_tool(run: Run, name: str, tool: str, arguments: list[str], **environment: str) -> None:
    """A step of a cargo command that may be absent."""
    probe = subprocess.run(["cargo", tool, "--version"], cwd=ROOT, capture_output=True, check=False)
    if probe.returncode:
        run.skip(name, f"cargo {tool} is not installed")
    else:
        run.step(name, "cargo", tool, *arguments, **environment)


GROUPS: dict[str, Callable[[Run, list[Interpreter]], None]] = {
    "lint": lint,
    "docs": docs,
    "rust": rust,
    "python": python,
    "free-threaded": free_threaded,
    "demo": demo,
    "lock": lock,
    "clusters": clusters,
    "platform": platform,
    "neighbours": neighbours,
    "torture": torture,
}
ON_REQUEST: dict[str, Callable[[Run, list[Interpreter]], None]] = {
    "python-whole": python_whole,
    "python-wheel": python_wheel,
    "newest": newest,
    "clusters-long": clusters_long,
    "clouds": clouds,
    "torture-long": torture_long,
    "torture-network": torture_network,
}
#: GROUPS begins with these. They need no wheel, so it is made while they run.
MEANWHILE = ("lint", "docs", "rust")
#: The environments that GROUPS needs beside those of the interpreters.
PACKAGES = ("clusters-short", "platform", "neighbours")
#: Those with tests that skip themselves where the machine lacks something.
NEEDY = {"rust", "python", "platform", "python-whole", "python-wheel", "torture", "torture-long"}


def begin_making() -> Making | None:
    """Begins with the wheel and the environments; `None` where the groups will say why they cannot be made."""
    try:
        minors = [each.minor for each in environments.interpreters()]
        return Making([*minors, *PACKAGES])
    except Failure:
        return None


def main(arguments: list[str]) -> int:
    groups = GROUPS | ON_REQUEST
    unknown = [name for name in arguments if name not in groups]
    if unknown:
        print(f"error: no such group: {' '.join(unknown)} (there are {' '.join(groups)})", file=sys.stderr)
        return 2
    run = Run()
    for tool, remedy in (("cargo", "install Rust through rustup"), ("cc", "install a C compiler")):
        if not shutil.which(tool) and arguments != ["python-wheel"]:
            print(f"error: {tool} was not found: {remedy}", file=sys.stderr)
            return 1
    making = None if arguments else begin_making()
    try:
        for name in arguments or GROUPS:
            if making and name not in MEANWHILE:
                making.wait()
                making = None
            # One environment that cannot be made is one failed group; the others still tell what they know.
            try:
                groups[name](run, environments.interpreters())
            except Failure as failure:
                print(f"error: {failure}", file=sys.stderr)
                run.note("FAILED", name, str(failure))
    finally:
        if making:
            making.end()
    if NEEDY & set(arguments or GROUPS):
        for what, reason in prerequisites.missing():
            run.skip(what, reason)
    return run.summary()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
