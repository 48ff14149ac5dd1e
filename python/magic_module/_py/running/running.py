"""`mm.run` and `mm.arun`."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence

from magic_module._py.running.ahead import forget, prepare
from magic_module._py.running.result import Run
from magic_module._py.running.starting import Wanted, amount, checked, command, count, environment, placed, size
from magic_module._py.running.watching import Output, Report, watch
from magic_module.errors import ConfigurationError, MagicModuleError


class Life:
    """A pipe that whoever waits for a run holds: the run ends when it is closed."""

    def __init__(self) -> None:
        self.run, own = os.pipe()
        # Two threads may end it at once: one of them finds it.
        self._own = [own]

    def end(self) -> None:
        """Ends the run, also one that has not begun."""
        with contextlib.suppress(IndexError):
            os.close(self._own.pop())

    def close(self) -> None:
        """Nothing is left to be ended."""
        self.end()
        os.close(self.run)


def run(
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    space: str | None = None,
    lock: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    memory: int | str | None = None,
    cpu: float | None = None,
    open_files: int | None = None,
    processes: int | None = None,
    network: bool = True,
    env: Mapping[str, str] | None = None,
    prefetch: Sequence[str] = (),
    on_output: Callable[[str, str], object] | None = None,
) -> Run:
    """Run a script in a process of its own, within limits, and wait until all its processes have ended.

    It gets `PATH`, `HOME`, `LANG`, `LC_*`, `TZ`, `TMPDIR`, the settings of magic_module and `env`, but no login: what
    it imports is fetched before it starts. This limits accidents; it is not a sandbox for hostile code.

    Args:
        script: a Python file.
        args: what follows it in `sys.argv`.
        space: the space whose packages it uses.
        lock: a `pylock.toml` whose packages it uses; without a space or a lock, it has the mounts of this process.
        timeout: how many seconds it may take.
        memory: resident memory of all its processes together: bytes, or a string such as `512M`.
        cpu: processor seconds that all its processes together may use.
        open_files: open files of each process.
        processes: how many processes it may have at the same time.
        network: False refuses internet sockets, also to this machine itself.
        env: further variables, by name.
        prefetch: names to fetch before it starts, besides those that it is seen to import.
        on_output: called with `stdout` or `stderr` and what was written, while the script runs.

    Returns:
        How it ended, with what it wrote.

    Raises:
        ValueError: a limit is not a valid number.
        UnitNotFoundError: there is no such script.
        MagicModuleError: it could not be started, or what it needs could not be fetched.

    Example:
        >>> mm.run("report.py", timeout=60, memory="512M").status
    """
    wanted = _wanted(script, args, space, lock, timeout, memory, cpu, open_files, processes, network, env, prefetch)
    return perform(wanted, on_output, Life())


async def arun(
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    space: str | None = None,
    lock: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    memory: int | str | None = None,
    cpu: float | None = None,
    open_files: int | None = None,
    processes: int | None = None,
    network: bool = True,
    env: Mapping[str, str] | None = None,
    prefetch: Sequence[str] = (),
    on_output: Callable[[str, str], object] | None = None,
) -> Run:
    """Run a script as `run` does, while the event loop runs.

    Cancelling the task ends the run; the task is over when all processes of the run have ended.

    Args:
        script: a Python file.
        args: what follows it in `sys.argv`.
        space: the space whose packages it uses.
        lock: a `pylock.toml` whose packages it uses; without a space or a lock, it has the mounts of this process.
        timeout: how many seconds it may take.
        memory: resident memory of all its processes together: bytes, or a string such as `512M`.
        cpu: processor seconds that all its processes together may use.
        open_files: open files of each process.
        processes: how many processes it may have at the same time.
        network: False refuses internet sockets, also to this machine itself.
        env: further variables, by name.
        prefetch: names to fetch before it starts, besides those that it is seen to import.
        on_output: called in the event loop's thread with `stdout` or `stderr` and what was written.

    Returns:
        How it ended, with what it wrote.

    Raises:
        ValueError: a limit is not a valid number.
        UnitNotFoundError: there is no such script.
        MagicModuleError: it could not be started, or what it needs could not be fetched.

    Example:
        >>> (await mm.arun("report.py", timeout=60)).status
    """
    wanted = _wanted(script, args, space, lock, timeout, memory, cpu, open_files, processes, network, env, prefetch)
    # Whoever awaits it has an event loop loaded; the command would pay for one.
    import asyncio
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    loop = asyncio.get_running_loop()
    life = Life()

    def tell(stream: str, text: str) -> None:
        if on_output is not None and not loop.is_closed():
            loop.call_soon_threadsafe(on_output, stream, text)

    # One of its own: the loop's may be busy with other runs.
    executor = ThreadPoolExecutor(1, "magic_module")
    work = contextvars.copy_context().run
    waiting = loop.run_in_executor(executor, work, perform, wanted, tell if on_output is not None else None, life)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        life.end()
        await asyncio.wait([waiting])
        # Nobody looks at how it ended.
        waiting.exception()
        raise
    finally:
        executor.shutdown(wait=False)


def _wanted(
    script: str | os.PathLike[str],
    args: Sequence[str],
    space: str | None,
    lock: str | os.PathLike[str] | None,
    timeout: float | None,
    memory: int | str | None,
    cpu: float | None,
    open_files: int | None,
    processes: int | None,
    network: bool,
    env: Mapping[str, str] | None,
    prefetch: Sequence[str],
) -> Wanted:
    placed(None if lock is None else os.fspath(lock), space)
    return Wanted(
        program=checked([os.fspath(script), *args]),
        lock=None if lock is None else {"lock": os.path.abspath(lock)},
        space=space,
        timeout=amount("timeout", timeout),
        memory=size("memory", memory),
        cpu=amount("cpu", cpu),
        open_files=count("open_files", open_files),
        processes=count("processes", processes),
        network=network,
        env=dict(env or {}),
        prefetch=tuple(prefetch),
        stdin=subprocess.DEVNULL,
    )


def perform(wanted: Wanted, on_output: Callable[[str, str], object] | None, life: Life) -> Run:
    """Starts it, and waits until nothing is left of it; also where something is raised here."""
    try:
        return _perform(wanted, on_output, life)
    finally:
        life.close()


def _perform(wanted: Wanted, on_output: Callable[[str, str], object] | None, life: Life) -> Run:
    if os.name == "nt":
        hint = "run it without a limit, or on a system with fork()"
        raise ConfigurationError(f"a run within limits is not possible on Windows; {hint}", hint=hint)
    told = Report()
    view = prepare(wanted, told)
    variables = environment(wanted, view)
    outputs = [Output(name, on_output) for name in ("stdout", "stderr")]
    inside, report = os.pipe()
    with open(inside, "rb"):
        try:
            process = subprocess.Popen(
                command(wanted, view, life.run, report, variables),
                stdin=wanted.stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=variables,
                pass_fds=(life.run, report),
                start_new_session=True,
            )
        finally:
            os.close(report)
        with process:
            assert process.stdout is not None and process.stderr is not None
            streams = dict(zip((process.stdout.fileno(), process.stderr.fileno()), outputs, strict=True))
            try:
                watch(streams, inside, told)
            except BaseException:
                life.end()
                with contextlib.suppress(BaseException):
                    watch({descriptor: Output("", None) for descriptor in streams}, inside, told)
                raise
    return _result(wanted, told, outputs, process.returncode)


def _result(wanted: Wanted, told: Report, outputs: list[Output], status: int) -> Run:
    stdout, stderr = outputs
    script = wanted.script or " ".join(wanted.program[: 2 if wanted.program[0] == "-m" else 1])
    end = told.end
    if end is None:
        why = stderr.text().strip().splitlines()[-1:] or [f"it ended with status {status}"]
        what = f"the process that should supervise {script} did not start: {why[0]}"
        raise MagicModuleError(f"{what}; try again", path=wanted.script, hint="try again", causes=tuple(why))
    if any(each["type"] == "OfflineError" for each in told.refused.values()):
        forget(wanted)
    return Run(
        script=script,
        status=end["status"],
        signal=end["signal"],
        limit=None if end["cause"] == "abandoned" else end["cause"],
        stdout=stdout.text(),
        stderr=stderr.text(),
        left_out=stdout.left_out + stderr.left_out,
        seconds=round(end["seconds"], 3),
        cpu=round(end["cpu"], 3),
        peak_memory=end["peak_memory"],
        imported=list(told.used.values()),
        downloaded=told.downloaded,
        refused=list(told.refused.values()),
        enforced=end["enforced"],
    )
