"""The command line by itself: options, text, JSON, exit status. The engine is replaced by canned answers."""

import io
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from kit import typed
from magic_module._py import cli
from magic_module._py.cli import describe, doctor, keep, mounting, moves, parser, publish
from magic_module.errors import FetchError

ALPHA = SimpleNamespace(
    name="magic_module.alpha",
    version="1.2.0",
    versions=["1.2.0", "1.1.0"],
    summary="Planets",
    size=45824,
    cached=True,
    hidden_by=None,
    yanked=None,
)
BETA = SimpleNamespace(
    name="magic_module.beta",
    version="2",
    versions=["2"],
    summary=None,
    size=7,
    cached=False,
    hidden_by="/x/beta.py",
    yanked="wrong sums",
)
MOVE = SimpleNamespace(
    name="magic_module.alpha",
    old_version="1.1.0",
    new_version="1.2.0",
    changed=True,
    files_changed=2,
    bytes=46080,
    seconds=0.1,
    restart_required=False,
)
STAY = SimpleNamespace(**{**vars(MOVE), "name": "magic_module.beta", "changed": False, "files_changed": 0, "bytes": 0})


for move in (MOVE, STAY):
    typed.check(vars(move), "Upgrade")
for unit in (ALPHA, BETA):
    typed.check(vars(unit), "ModuleInfo")


class Engine(SimpleNamespace):
    """Remembers its calls, and answers with what the test says."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(__version__="9.9", calls=[], mounts=[])
        settings = {"manifest_url": None, "public_key": [], "pins": [], "allow_http": False, "cache_dir": "/cache"}
        settings |= {"lock": None, "mounts": "[]"}
        defaults = {"_settings": settings, "_mounts": [], "on_event": None, "mount": None, "_diagnose": []}
        defaults |= {"_skip_start": None}
        for name, answer in {**defaults, **answers}.items():
            setattr(self, name, self.method(name, answer))

    def method(self, name: str, answer: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append((name, arguments, options))
            if isinstance(answer, BaseException):
                raise answer
            return answer(*arguments) if callable(answer) else answer

        return call

    def called(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(arguments, options) for called, arguments, options in self.calls if called == name]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(**answers: Any) -> Engine:
        made = Engine(**answers)
        for family in (describe, doctor, keep, mounting, moves, publish):
            monkeypatch.setattr(family, "_native", made)
        return made

    for name in [name for name in os.environ if name.startswith("MAGIC_MODULE_")]:
        monkeypatch.delenv(name)
    return use


Output = tuple[int, str, str]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Output:
    status = cli.main(arguments)
    return status, *capsys.readouterr()


def test_list(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    engine(available=[ALPHA, BETA])
    assert run(capsys, "list") == (
        0,
        (
            "magic_module.alpha  1.2.0  44.8 KiB  cached  Planets\n"
            "magic_module.beta   2           7 B\n"
            "magic_module.beta is hidden by /x/beta.py\n"
            "magic_module.beta 2 was taken back: wrong sums\n"
        ),
        "",
    )
    status, text, _ = run(capsys, "list", "--json")
    assert (status, typed.answer(text, "list")) == (
        0,
        {"namespace": "magic_module", "modules": [vars(ALPHA), vars(BETA)]},
    )
    engine(available=[])
    assert run(capsys, "list")[1] == "the manifest of magic_module lists no unit\n"


def test_info(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    engine(info=ALPHA)
    assert run(capsys, "info", "magic_module.alpha") == (
        0,
        (
            "name      magic_module.alpha\n"
            "version   1.2.0\n"
            "versions  1.2.0, 1.1.0\n"
            "summary   Planets\n"
            "size      44.8 KiB\n"
            "cached    yes\n"
        ),
        "",
    )


def test_fetch(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    listeners: list[Any] = []

    def prefetch(*names: str) -> None:
        for event, done in (("fetch", 10), ("fetch", 2048), ("load", 1 << 20)):
            listeners[-1]({"event": event, "unit": "alpha", "bytes": done})

    made = engine(prefetch=prefetch, on_event=listeners.append)
    assert run(capsys, "fetch", "magic_module.alpha==1.1.0") == (
        0,
        "magic_module.alpha==1.1.0: 2.0 KiB downloaded\n",
        "",
    )
    assert made.called("prefetch") == [(("magic_module.alpha==1.1.0",), {})]
    assert listeners[-1] is None
    engine(prefetch=None)
    assert run(capsys, "fetch", "magic_module.alpha")[1] == "magic_module.alpha: nothing to download\n"


def test_upgrade_and_rollback(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = engine(
        _ignore_lock=None, upgrade=[MOVE, STAY], rollback=SimpleNamespace(**{**vars(MOVE), "restart_required": True})
    )
    assert run(capsys, "upgrade") == (0, "magic_module.alpha 1.1.0 → 1.2.0, 2 files, 45.0 KiB\n", "")
    assert made.called("upgrade") == [((), {})]
    assert run(capsys, "rollback", "magic_module.alpha")[1] == (
        "magic_module.alpha 1.1.0 → 1.2.0, 2 files, 45.0 KiB, restart to use it\n"
    )
    engine(_ignore_lock=None, upgrade=[STAY])
    assert run(capsys, "upgrade", "magic_module.beta") == (0, "nothing changed\n", "")
    assert typed.answer(run(capsys, "--json", "upgrade")[1], "upgrade") == {"upgrades": [vars(STAY)]}


def test_verify_and_prune(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"ok": True, "units": 1, "files": 2, "bytes": 1024, "problems": [], "removed": []}
    typed.check(report, "Report")
    engine(verify=SimpleNamespace(**report), prune=SimpleNamespace(**{**report, "removed": ["a", "b"]}))
    assert run(capsys, "verify") == (0, "1 unit, 2 files, 1.0 KiB: no damage\n", "")
    assert run(capsys, "prune", "--limit", "2G") == (0, "1.0 KiB freed, 2 entries removed\n", "")
    engine(verify=SimpleNamespace(**{**report, "problems": ["alpha.py was damaged"]}))
    assert run(capsys, "verify") == (0, "alpha.py was damaged\n1 unit, 2 files, 1.0 KiB: healed\n", "")
    engine(verify=SimpleNamespace(**{**report, "ok": False, "problems": ["alpha.py is damaged"]}))
    assert run(capsys, "verify") == (1, "alpha.py is damaged\n1 unit, 2 files, 1.0 KiB: damaged\n", "")


def test_cache(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    mount = {"namespace": "acme", "manifest_url": "https://h/m.json", "directory": "/c/v1/mounts/ab", "changed": 86400,
             "lock": None, "space": None, "identity": "ab", "generation": 1}  # fmt: skip
    sizes = {"bytes": 3 << 20, "blobs": 4, "trees": 2, "limit": 1 << 30}
    used = {
        "directory": "/c",
        "behind": ["/shared"],
        **sizes,
        "mounts": [mount, {**mount, "namespace": "", "manifest_url": None, "lock": "/p/pylock.toml", "changed": None}],
    }
    typed.check(used, "_Usage")
    engine(_cache_usage=used)
    text = (
        "directory  /c\nbehind it  /shared\nsize       3.0 MiB of 1.0 GiB\nblobs      4\ntrees      2\nmounts     2\n"
        "  acme         1970-01-02  https://h/m.json  /c/v1/mounts/ab\n"
        "  (top level)              /p/pylock.toml    /c/v1/mounts/ab\n"
    )
    assert run(capsys, "cache") == (0, text, "")


def test_publish(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    unit = {"name": "alpha", "old_version": "1.1.0", "version": "1.2.0", "files": 2, "bytes": 2048, "changed": True}
    new = {**unit, "name": "gamma", "old_version": None, "version": "3", "files": 1}
    same = {**unit, "name": "beta", "changed": False}
    done = {
        "changed": True,
        "signed": False,
        "serial": 7,
        "manifest": "out/manifest.json",
        "units": [unit, same, new],
        "dropped": 1,
        "left_out": [],
    }
    typed.check(done, "_Published")
    made = engine(_publish=done)
    assert run(capsys, "publish", "src", "out", "--drop-older-than", "30") == (
        0,
        (
            "alpha  1.1.0 → 1.2.0  2 files, 2.0 KiB\n"
            "gamma  3              1 file, 2.0 KiB\n"
            "1 unit unchanged\n"
            "1 file dropped\n"
            "out/manifest.json: serial 7\n"
        ),
        "",
    )
    assert made.called("_publish") == [(("src", "out", "magic_module", 30, []), {"compile": None})]
    made = engine(_publish={**done, "changed": False, "units": [same], "dropped": 0})
    assert run(capsys, "--namespace", "", "publish", "src", "out")[1] == "out/manifest.json: nothing changed\n"
    assert made.called("_publish")[0][0][2] == ""


def test_an_error_is_one_sentence(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    error = FetchError("cannot fetch http://h/m.json: connection refused; start the server", hint="start the server")
    engine(available=error)
    assert run(capsys, "list") == (1, "", f"magic-module: {error}\n")
    status, text, rest = run(capsys, "list", "--json")
    assert (status, rest) == (1, "")
    assert typed.answer(text, "list", failed=True) == error.to_dict()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "/x"), "cannot list /x: Permission denied"),
        (
            ValueError("two\nlines"),
            "cannot list: ValueError: two lines; this is a bug of magic-module, please report it",
        ),
    ],
)
def test_what_nobody_foresaw_is_one_sentence_too(
    engine: Any, capsys: pytest.CaptureFixture[str], error: Exception, sentence: str
) -> None:
    engine(available=error)
    assert run(capsys, "list") == (1, "", f"magic-module: {sentence}\n")


def test_an_interrupt_is_quiet(engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    engine(available=KeyboardInterrupt())
    assert run(capsys, "list") == (130, "", "")


@pytest.mark.parametrize("before", [True, False])
def test_where_units_come_from(engine: Any, capsys: pytest.CaptureFixture[str], before: bool) -> None:
    made = engine(
        available=[],
        _settings={
            "manifest_url": "E",
            "public_key": ["K"],
            "pins": ["a==1"],
            "allow_http": True,
            "lock": None,
            "mounts": "[]",
        },
    )

    def mounts(*options: str) -> Any:
        made.calls.clear()
        assert run(capsys, *options, "list") if before else run(capsys, "list", *options)
        return made.called("mount"), made.called("available")[0][0][0]

    assert mounts() == ([], "magic_module")
    own = {"pins": {"a": "1"}, "allow_http": True}
    assert mounts("--manifest-url", "U") == ([(("magic_module", "U"), {"public_key": ["K"], **own})], "magic_module")
    two = ["--public-key", "A", "--public-key", "B"]
    assert mounts(*two) == ([(("magic_module", "E"), {"public_key": ["A", "B"], **own})], "magic_module")
    assert mounts("--namespace", "acme", "--manifest-url", "U") == ([(("acme", "U"), {"public_key": None})], "acme")
    assert mounts("--namespace", "", "--manifest-url", "U") == ([(("", "U"), {"public_key": None})], "")


@pytest.mark.parametrize("arguments", [["info", "zz_none.heavy"], ["list", "--namespace", "zz_none"]])
def test_a_namespace_that_nobody_mounts(engine: Any, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    engine()
    assert run(capsys, *arguments) == (
        1,
        "",
        (
            "magic-module: no manifest is known for zz_none; give --manifest-url, "
            "or install the package zz_none that mounts itself, or write magic_module.zz_none\n"
        ),
    )


def test_a_package_that_mounts_itself_is_asked(
    engine: Any, capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zz_author.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = engine(info=ALPHA)
    made._mounts = lambda: [{"namespace": "zz_author"}] if "zz_author" in sys.modules else []
    assert run(capsys, "info", "zz_author.heavy")[0] == 0
    del sys.modules["zz_author"]


def test_doctor(engine: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fine = {"check": "directory", "ok": True, "message": "/c is writable", "hint": None}
    typed.check(fine, "_Finding")
    engine(_diagnose=[fine])
    status, text, _ = run(capsys, "doctor")
    lines = [line for line in text.splitlines() if not line.startswith("ok  start")]
    assert status == 0
    assert len(lines) == len(text.splitlines()) - 1
    assert lines[0].startswith("ok  python     magic_module 9.9 on CPython 3.")
    assert lines[1:] == ["ok  directory  /c is writable", "everything is well"]
    engine(_diagnose=[fine, {"check": "manifest", "ok": False, "message": "no answer", "hint": "start the server"}])
    monkeypatch.setenv("MAGIC_MODULE_CACHE_DIRECTORY", "secret")
    status, text, _ = run(capsys, "doctor")
    assert status == 1
    assert [line for line in text.splitlines() if not line.startswith("ok  start")][1:] == [
        "no  settings   MAGIC_MODULE_CACHE_DIRECTORY is not a setting",
        "    did you mean MAGIC_MODULE_CACHE_DIR?",
        "ok  directory  /c is writable",
        "no  manifest   no answer",
        "    start the server",
        "something is wrong",
    ]
    monkeypatch.delenv("MAGIC_MODULE_CACHE_DIRECTORY")
    engine(_settings=FetchError("X must be 1 or 0; change X or unset it", hint="change X or unset it"))
    answer = typed.answer(run(capsys, "doctor", "--json")[1], "doctor")
    assert not answer["ok"]
    assert answer["findings"][1:] == [
        {"check": "settings", "ok": False, "message": "X must be 1 or 0", "hint": "change X or unset it"}
    ]


@pytest.mark.parametrize("text", ["524288000", "500M", "500MB", "500MiB", "500 mib"])
def test_a_limit_is_said_as_in_its_variable(engine: Any, capsys: pytest.CaptureFixture[str], text: str) -> None:
    report = {"ok": True, "units": 0, "files": 0, "bytes": 0, "problems": [], "removed": []}
    made = engine(prune=SimpleNamespace(**report))
    assert run(capsys, "prune", "--limit", text)[0] == 0
    assert made.called("prune") == [((), {"limit": 500 << 20})]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "magic-module: the following arguments are required: COMMAND; see magic-module --help"),
        (["list", "x"], "magic-module: unrecognized arguments: x; see magic-module --help"),
        (["info"], "magic-module info: the following arguments are required: NAME; see magic-module info --help"),
        (["serve", ".", "--port", "70000"], "argument --port: 70000 is not a port, which is a number from 0 to 65535"),
        (["prune", "--limit", "lots"], "argument --limit: 'lots' is not a size such as 500M or 2G"),
        (["prune", "--limit", "-1"], "argument --limit: '-1' is not a size such as 500M or 2G"),
        (["prune", "--limit=1.5X"], "argument --limit: '1.5X' is not a size such as 500M or 2G"),
        (["publish", "a", "b", "--drop-older-than", "-1"], "argument --drop-older-than"),
        (["publish", "a", "b", "--drop-older-than", "9" * 30], f"{'9' * 30} is not a number of days"),
        (["serve", ".", "--port", "x"], "argument --port: x is not a port, which is a number from 0 to 65535"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    text, error = capsys.readouterr()
    assert text == ""
    assert complaint in error and error.count("\n") == 1


def test_every_command_is_there_and_helps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert set(re.findall(r"^    (\w+) ", text, re.MULTILINE)) == typed.COMMANDS
    for name in typed.COMMANDS:
        with pytest.raises(SystemExit) as caught:
            cli.main([name, "--help"])
        assert caught.value.code == 0
        assert {"--manifest-url", "--public-key", "--namespace", "--json"} <= set(capsys.readouterr().out.split())


def test_an_arrow_on_a_terminal_that_has_none(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(_ignore_lock=None, upgrade=[MOVE])
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli.main(["upgrade"]) == 0
    assert raw.getvalue() == b"magic_module.alpha 1.1.0 ? 1.2.0, 2 files, 45.0 KiB" + os.linesep.encode()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes of this kind")
def test_a_reader_that_has_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from magic_module._py import cli\n"
    code += "from magic_module._py.cli import answer, describe\n"
    code += "describe.list_units = lambda options: answer.Answer({}, ['x' * 100000])\n"
    code += "sys.exit(cli.main(['list']))"
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("512", 512), ("500M", 500 << 20), ("2g", 2 << 30), ("1T", 1 << 40)]
)
def test_sizes(text: str, number: int) -> None:
    assert parser._bytes(text) == number


def test_what_an_author_wrote_fills_no_screen_and_speaks_to_no_terminal(
    engine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = "\x1b[2J\u202e" * 100_000
    unit = SimpleNamespace(**{**vars(ALPHA), "summary": odd, "yanked": odd})
    engine(available=[unit], info=unit)
    for arguments in (["list"], ["info", "magic_module.alpha"]):
        status, text, _ = run(capsys, *arguments)
        assert status == 0 and "\\u{1b}[2J" in text
        assert "\x1b" not in text and "\u202e" not in text and len(text.encode()) < 10_000
