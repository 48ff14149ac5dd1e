"""What a script needs: `mm.check_script` and `magic-module check`."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import magic_module as mm
from kit import interpreter
from kit.locks import Lock
from origins import Origin

pytestmark = pytest.mark.once

SCHEMA = Path(__file__).parents[2] / "docs/reference/check.schema.json"

STRATEGY = '''\
"""import in_a_text"""
import os
import pytest, alpaca_trade_api
import talib
import helper
try:
    import ujson
except ImportError:
    import json as ujson
import importlib as il
il.import_module("serial")
from google.cloud import storage
import requets
import our_own_thing
'''


def needs(report: Any) -> dict[str, dict[str, Any]]:
    return {need["import"]: need for need in report.needs}


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("raise SystemExit('this is never run')\n")
    path = tmp_path / "strategy.py"
    path.write_text(STRATEGY)
    return path


def test_every_need_has_its_state(strategy: Path) -> None:
    report = mm.check_script(strategy)
    ok, missing, available = report
    assert (ok, available) == (False, ["pytest"])
    assert missing == ["alpaca-trade-api", "google-cloud-storage", "our_own_thing", "requets", "pyserial", "TA-Lib"]
    found = needs(report)
    assert {name: need["state"] for name, need in found.items()} == {
        "os": "standard",
        "pytest": "installed",
        "alpaca_trade_api": "missing",
        "talib": "missing",
        "helper": "local",
        "ujson": "missing",
        "json": "standard",
        "importlib": "standard",
        "serial": "missing",
        "google.cloud.storage": "missing",
        "requets": "unknown",
        "our_own_thing": "unknown",
    }
    assert [name for name, need in found.items() if need["optional"]] == ["json", "ujson"]
    assert found["talib"]["lines"] == [4] and found["talib"]["system"]["debian"] == "libta-lib0-dev"
    assert found["pytest"]["confidence"] == "exact" and found["pytest"]["version"] == pytest.__version__
    assert (found["our_own_thing"]["confidence"], found["requets"]["meant"]) == ("guess", "requests")
    assert report.command == "pip install alpaca-trade-api google-cloud-storage pyserial TA-Lib"


def test_the_message_names_what_is_missing_and_how_it_is_had(strategy: Path) -> None:
    report = mm.check_script(strategy)
    lines = report.message().splitlines()
    assert lines[0] == "strategy.py needs 6 packages that are not here:"
    assert lines[1].split() == ["line", "3", "alpaca_trade_api", "alpaca-trade-api", "alpaca-py", "follows", "it"]
    assert "brew install ta-lib" in lines[2] and "is requests meant?" in lines[5]
    assert lines[7] == f"install them:   {report.command}"
    assert lines[8] == "or ask the administrator of this environment to approve them"
    assert '  #   "pytest==' in report.message() and "our-own-thing" not in report.metadata
    success, message = report.install()
    assert not success and "MAGIC_MODULE_AUTO_INSTALL" in message


def test_a_script_that_has_all_says_so() -> None:
    report = mm.check_script("import os, pytest\n")
    assert report.ok and report.message() == "the script finds here all that it needs"
    assert report.install() == (True, "nothing is missing")


def test_what_is_missing_is_brought_only_as_an_import_would_be(cache: Path) -> None:
    step = """
import magic_module as mm
mm.on_request(lambda request: "deny")
result = mm.check_script("import talib, our_own_thing\\n").install()
"""
    with interpreter.Interpreter(cache, settings={"MAGIC_MODULE_AUTO_INSTALL": "ask"}) as child:
        success, message = child.do(step)
    assert not success
    assert "`import talib` is refused, because TA-Lib may not be fetched: the person who was asked said no" in message
    assert "our-own-thing may have it, judging by the name alone, but nobody approved that" in message


def test_what_the_script_says_itself_comes_before_the_tables() -> None:
    block = '# /// script\n# dependencies = ["opencv-python-headless>=4"]\n# ///\nimport cv2\n'
    need = needs(mm.check_script(block))["cv2"]
    assert (need["distribution"], need["requirement"]) == ("opencv-python-headless", "opencv-python-headless>=4")
    assert (need["source"], need["alternatives"][0]) == ("script", "opencv-python")


def test_what_is_not_for_here_is_not_needed() -> None:
    other = "win32" if sys.platform != "win32" else "linux"
    text = f"import sys\nif sys.platform == {other!r}:\n    import aaa\nelse:\n    import bbb\n"
    text += "if sys.version_info < (3, 8):\n    import ccc\n"
    found = needs(mm.check_script(text))
    assert [name for name, need in found.items() if need["optional"]] == ["aaa", "ccc"]
    assert found["ccc"]["hints"][-1] == "imported only if sys.version_info < (3, 8)"


def test_a_module_of_the_installation_that_nothing_lists_is_installed(tmp_path: Path) -> None:
    code = "import magic_module as mm; print([n['state'] for n in mm.check_script('import bare\\n').needs])"
    (tmp_path / "bare.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "['installed']\n"


def test_the_users_own_table(tmp_path: Path, strategy: Path) -> None:
    (tmp_path / "modules.toml").write_text('[names]\nour_own_thing = "acme-thing"\n')
    answer = command(strategy, MAGIC_MODULE_REGISTRY=str(tmp_path / "modules.toml"))
    [need] = [need for need in answer["scripts"][0]["needs"] if need["import"] == "our_own_thing"]
    assert (need["distribution"], need["state"], need["source"]) == ("acme-thing", "missing", "user")


def command(*paths: Path, **environment: str) -> dict[str, Any]:
    arguments = [sys.executable, "-m", "magic_module", "check", "--json", *map(str, paths)]
    environment = {**os.environ, **environment}
    done = subprocess.run(arguments, env=environment, capture_output=True, encoding="utf-8", check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0 if answer["ok"] else 1, "")
    return answer


def test_the_command_tells_each_script(tmp_path: Path, strategy: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text("import json\n")
    binary = tmp_path / "binary.py"
    binary.write_bytes(b"\0\1")
    answer = command(good, binary, strategy)
    assert [script["ok"] for script in answer["scripts"]] == [True, False, False]
    assert answer["scripts"][1]["error"]["type"] == "RequirementError"
    schema = json.loads(SCHEMA.read_text("utf-8"))
    keys = schema["$defs"]["need"]["properties"]
    assert all(need.keys() == keys.keys() for need in answer["scripts"][2]["needs"])
    assert answer["scripts"][2].keys() | {"error"} == schema["$defs"]["script"]["properties"].keys()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.py", b"\0", "cannot read {} as a script: it is binary; save it as UTF-8"),
        ("a.py", b"# \xff\n", "cannot read {} as a script: line 1 is not UTF-8; save it as UTF-8"),
        ("a.ipynb", b"{", "cannot read {} as a script: it is not a notebook: "),
        ("a.py", b"#" * (17 << 20), "cannot read {} as a script: it is longer than 16 MB; "),
    ],
)
def test_what_is_no_script_is_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(mm.errors.RequirementError) as caught:
        mm.check_script(path)
    assert str(caught.value).startswith(sentence.format(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(mm.errors.StoreError, match=r"cannot read the script .*gone\.py"):
        mm.check_script(tmp_path / "gone.py")
    with pytest.raises(mm.errors.StoreError, match=r"cannot read the script gone\.py"):
        mm.check_script("gone.py")


def test_what_a_lock_has_is_provided_and_fetched(served: tuple[Lock, Origin], cache: Path, tmp_path: Path) -> None:
    lock, origin = served
    script = tmp_path / "uses.py"
    script.write_text("import os, alpha, gone\nfrom space import one, two\nimport space.deep.three\n")
    named = ("--lock", str(lock.path))
    ended = interpreter.command_line("check", str(script), *named, "--json", cache=cache)
    [told] = ended.json["scripts"]
    assert {need["import"]: (need["state"], need["distribution"]) for need in told["needs"]} == {
        "os": ("standard", None),
        "alpha": ("provided", "alpha"),
        "gone": ("unknown", "gone"),
        "space.one": ("provided", "space-one"),
        "space.two": ("provided", "space-two"),
        "space.deep": ("provided", "space.three"),
    }
    assert told["available"] == ["alpha", "space.three", "space-one", "space-two"] and told["missing"] == ["gone"]
    origin.take()
    ended = interpreter.command_line("fetch", "--imports-of", str(script), *named, "--json", cache=cache)
    assert ended.json["names"] == ["alpha", "space.deep", "space.one", "space.two"]
    taken = {request.path.strip("/").partition("-")[0] for request in origin.take()}
    assert taken == {"alpha", "beta", "space_one", "space_two", "space_three"}


def test_the_standard_library_is_read_as_python_reads_it() -> None:
    library = Path(os.__file__).parent
    ours, theirs, files = set(), set(), 0
    for path in [*(library / name for name in ("asyncio", "email", "importlib", "xml")), *library.glob("*.py")]:
        for need in mm.check_script(path).needs:
            top = need["import"].partition(".")[0]
            ours |= {f"{place}:{top}" for place in need["places"]}
        for file in [path] if path.is_file() else path.rglob("*.py"):
            files += 1
            theirs |= {f"{file}:{found}" for found in imported(file)}
    assert files > 250 and theirs - ours == set()
    calls = ("import_module", "__import__", "find_spec", "find_loader", "importorskip")
    for more in ours - theirs:
        file, line, _ = more.rsplit(":", 2)
        text = Path(file).read_text("utf-8").splitlines()[int(line) - 1]
        assert any(call in text for call in calls), (more, text)


def imported(file: Path) -> Iterator[str]:
    """`LINE:NAME` of each absolute import."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (f"{alias.lineno}:{alias.name.partition('.')[0]}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield f"{node.lineno}:{node.module.partition('.')[0]}"
