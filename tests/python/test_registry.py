"""`modules.toml`: what it may say, in which order its entries are needed, and what its lock has; no index is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import magic_module as mm
from kit import typed
from kit.locks import Lock
from kit.wheels import wheel
from magic_module._py import cli
from magic_module._py.locking import marks
from magic_module._py.locking.pip import Pip
from magic_module._py.locking.request import Request
from magic_module._py.locking.secrets import shown
from magic_module._py.registry.starter import TEXT

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_TOKEN", "UV_INDEX", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def registry(text: str, name: str = "modules.toml") -> mm.Registry:
    Path(name).write_text(text, "utf-8")
    return mm.Registry(name)


def refused(text: str, name: str = "modules.toml") -> str:
    with pytest.raises(mm.errors.ConfigurationError) as caught:
        registry(text, name).inputs()
    return str(caught.value).replace(str(Path(name).absolute()), "FILE")


def test_an_entry_says_what_it_is() -> None:
    found = registry(
        """
        [modules.Pandas]
        display_name = "Pandas"
        description = "Tables"
        version = "2.1.4"
        dependencies = ["numpy", "pytz>=2023"]
        [modules.numpy]
        requirement = "numpy>=1.26,<2"
        [modules.corp_lib]
        requirement = ">=1"
        index = "https://user:${CORP_TOKEN}@corp.example/simple"
        options = { retries = 3 }
        system = { linux = "apt-get install libcorp", macos = "brew install corp" }
        [modules.tool]
        source = "https://files.example/tool-1.0-py3-none-any.whl"
        [modules.inner]
        source = "git+https://${GITHUB_TOKEN}@github.com/corp/inner.git@v1.0"
        [modules.acme]
        source = "https://acme.example/manifest.json"
        [modules.alone]
        """
    )
    assert found.get_module("nothing") is None
    assert [each.name for each in found.list_modules()] == [
        "Pandas", "numpy", "corp_lib", "tool", "inner", "acme", "alone",
    ]  # fmt: skip
    pandas = found.get_module("pandas")
    assert pandas is not None and pandas.requirement == "Pandas==2.1.4" and pandas.pypi_name == "pandas"
    corp = found.get_module("Corp.Lib")
    assert corp is not None and (corp.requirement, corp.source, corp.options) == (
        "corp_lib>=1",
        "index",
        {"retries": 3},
    )
    assert corp.system["macos"] == "brew install corp"
    tool = found.get_module("tool")
    assert tool is not None and tool.wheel_url == "https://files.example/tool-1.0-py3-none-any.whl"
    assert tool.requirement == f"tool @ {tool.wheel_url}" and tool.pypi_name is None
    inner = found.get_module("inner")
    assert inner is not None and inner.to_dict()["source"].startswith("git+https://${GITHUB_TOKEN}@github.com/")
    acme, alone = found.get_module("acme"), found.get_module("alone")
    assert acme is not None and acme.is_manifest and alone is not None and alone.source is None
    assert found.check() == [("modules.alone", "has no source: No download source available")]


def test_what_is_needed_comes_first_and_once() -> None:
    found = registry(
        """
        [modules]
        top = { version = "1", dependencies = ["left", "Right"] }
        left = { version = "1", dependencies = ["base", "six>=1"] }
        right = { version = "1", dependencies = ["left", "base"] }
        base = { version = "1", dependencies = ["six>=1"] }
        """
    )
    assert found.get_dependencies("TOP") == ["six>=1", "base", "left", "right"]
    assert found.get_dependencies("base") == ["six>=1"]
    assert [each.requirement for each in found.inputs().wanted] == [
        "top==1", "left==1", "six>=1", "right==1", "base==1",
    ]  # fmt: skip
    with pytest.raises(mm.errors.ConfigurationError, match=r"^Unknown module: bass is not in .*; base comes closest$"):
        found.get_dependencies("bass")


def test_a_long_chain_needs_no_stack() -> None:
    lines = [f'm{at} = {{ version = "1", dependencies = ["m{at + 1}"] }}' for at in range(3000)]
    found = registry("[modules]\n" + "\n".join([*lines, 'm3000 = { version = "1" }']))
    assert found.get_dependencies("m0")[:2] == ["m3000", "m2999"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[module.a]\n", "module is not a known key; write modules"),
        ("[modules.a]\nverson = '1'\n", "modules.a.verson is not a known key; write version"),
        ("[links.a]\nmodul = 'x'\n", "links.a.modul is not a known key; write module"),
        (
            "[modules.a-b]\nversion = '1'\n[modules.A_b]\nversion = '2'\n",
            "modules.A_b has the same name as modules.a-b; keep one of them",
        ),
        ("[imports.a]\n[links.a]\n", "links.a has the name of imports.a; give one of them another name"),
        (
            "[modules]\na = {version='1', dependencies=['b']}\nb = {version='1', dependencies=['A']}\n",
            "modules.a.dependencies lead back to it: a → b → a; correct it",
        ),
        ("[modules.a]\n", "modules.a has no source: No download source available; correct it"),
        ("modules = 3", "modules is not a table of names; see the example of `magic-module registry init`"),
        ("[modules.a]\nversion = 1\n", 'modules.a.version is not a string of one line; write version = "…"'),
        (
            "[modules.a]\nversion = '1'\nrequirement = 'a'\n",
            "modules.a has a version and a requirement; keep one of them",
        ),
        (
            "[modules.a]\nrequirement = 'a ='\n",
            (
                "modules.a.requirement is not a requirement: "
                'Expected semicolon (after name with no version specifier) or end; write "a>=1,<2"'
            ),
        ),
        (
            "[modules.a]\nsource = 'ftp://x/a.whl'\n",
            (
                "modules.a.source is not a known kind of source: ftp://x/a.whl; write index, the URL of a wheel, "
                "git+https://…@tag, git+ssh://…@tag, or the URL of a manifest.json"
            ),
        ),
        (
            "[modules.a]\nsource = 'https://x.example/${TOKEN}/a-1-py3-none-any.whl'\n",
            (
                "modules.a.source has ${TOKEN} where a lock would store it; "
                "write it before the @ of a URL, or as a value of its query"
            ),
        ),
        (
            "[links.a]\nrequirement = 'a --force-reinstall'\n",
            (
                "links.a.requirement has --force-reinstall, which is refused: there is nothing to reinstall: "
                "what is loaded is checked byte by byte each time; remove --force-reinstall"
            ),
        ),
        (
            "[links.a]\npip_name = 'a --index-url corp'\n",
            "links.a.pip_name has an --index-url that is not a URL; write --index-url https://…",
        ),
        (
            "[modules.a]\nversion='1'\ndependencies=['b c']\n",
            (
                "modules.a.dependencies has 'b c', which is neither an "
                'entry nor a requirement; write "name" or "name>=1"'
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, sentence: str) -> None:
    assert refused(text) == f"cannot use FILE: {sentence}"


def test_what_is_written_out_is_not_shown() -> None:
    assert shown("a @ https://me:pw@x.example/a.whl?token=t&b=1") == "a @ https://x.example/a.whl?b=1"
    assert shown("https://me:${T}@x.example/s") == "https://me:${T}@x.example/s"
    assert shown("https://${T}@x.example/s") == "https://${T}@x.example/s"
    assert shown("https://${USER}:pw@x.example/s") == "https://x.example/s"
    assert shown("git+ssh://git@x.example/r.git@v1") == "git+ssh://git@x.example/r.git@v1"


def test_variables_are_looked_up_when_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry("[modules.a]\nversion = '1'\nindex = 'https://${CORP_TOKEN}@x.example/simple'\n")
    asked = found.inputs()
    with pytest.raises(
        mm.errors.ConfigurationError, match=r"modules\.a\.index needs CORP_TOKEN, which is not set; set CORP_TOKEN"
    ):
        asked.project()
    monkeypatch.setenv("CORP_TOKEN", "s3/cret")
    assert 'url = "https://s3%2Fcret@x.example/simple"' in asked.project()
    assert asked.secrets.hide("s3/cret s3%2Fcret") == "${CORP_TOKEN} ${CORP_TOKEN}"
    assert found.inputs().digest == asked.digest


def test_git_alone_is_told_what_lets_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    asked = registry(
        "[modules.a]\nsource = 'git+https://${GITHUB_TOKEN}@x.example/o/a.git@feature/x#subdirectory=b'\n"
    ).inputs()
    assert "s3cret" not in asked.project()
    assert '"a @ git+https://x.example/o/a.git@feature/x#subdirectory=b"' in asked.project()
    variables = asked.git_logins()
    assert variables["GIT_CONFIG_KEY_0"] == "url.https://s3cret:@x.example/o/a.git.insteadOf"
    assert variables["GIT_CONFIG_VALUE_0"] == "https://x.example/o/a.git"


def test_pip_alone_is_not_asked_for_an_index_of_its_own() -> None:
    found = registry("[modules.a]\nversion = '1'\nindex = 'https://x.example/simple'\n")
    with pytest.raises(
        mm.errors.PolicyError, match=r"modules\.toml names indexes of its own, and pip takes each package"
    ):
        Pip("26.3").resolve(Request(inputs=found.inputs()), Path("aside.toml"), None)


OLD = {
    "modules": {
        "numpy": {"name": "numpy", "display_name": "NumPy", "description": "Arrays", "version": "1.26.2",
                  "size_mb": 18.5, "dependencies": [], "wheel_url": None, "pypi_name": "numpy"},
        "pandas": {"name": "pandas", "display_name": "Pandas", "description": "Tables", "version": "2.1.4",
                   "size_mb": 32.1, "dependencies": ["numpy", "python-dateutil", "pytz"], "pypi_name": "pandas"},
        "inner": {"name": "inner", "display_name": "Inner", "description": "", "version": "1.0", "size_mb": 1,
                  "dependencies": [], "wheel_url": "https://files.example/inner-1.0-py3-none-any.whl"},
        "lost": {"name": "lost", "display_name": "Lost", "description": "", "version": "1", "size_mb": 1,
                 "dependencies": []},
    }
}  # fmt: skip


def test_json_of_the_older_shape_is_read_and_written() -> None:
    found = registry(json.dumps(OLD), "registry.json")
    assert found.get_dependencies("pandas") == ["numpy", "python-dateutil", "pytz"]
    numpy, inner, lost = (found.get_module(name) for name in ("numpy", "inner", "lost"))
    assert numpy is not None and (numpy.requirement, numpy.size_mb) == ("numpy==1.26.2", None)
    assert inner is not None and inner.requirement.startswith("inner @ https://files.example/")
    assert lost is not None and lost.source is None
    assert refused(json.dumps(OLD), "registry.json").endswith(
        "modules.lost has no source: No download source available; correct it"
    )
    again = registry(found.to_json(), "again.json")
    assert again.to_dict() == found.to_dict()
    signed = {"source": "https://h/manifest.json", "public_key": "RWkey"}
    mirrored = {"pypi_name": "corp", "index": "https://corp.example/simple", "options": {"a": 1}}
    both = registry(json.dumps({"modules": {"signed": signed, "corp": mirrored}}), "both.json").to_dict()["modules"]
    assert both["signed"]["public_key"] == ["RWkey"]
    assert (both["corp"]["index"], both["corp"]["options"]) == ("https://corp.example/simple", {"a": 1})
    twice = '{"modules": {"a": {"pypi_name": "a"}, "a": {"pypi_name": "b"}}}'
    assert refused(twice, "twice.json") == "cannot use FILE: a appears there twice; keep one of them"
    listed = registry(json.dumps({"modules": list(OLD["modules"].values())}), "listed.json")
    assert listed.to_dict() == found.to_dict()


def test_sizes_are_measured_and_a_stale_lock_is_told() -> None:
    text = "[modules.alpha]\nversion = '1.0'\n[modules.other]\nversion = '3'\n"
    found = registry(text)
    assert found.lock_state == "missing"
    lock = Lock(
        Path.cwd() / "made", [wheel("alpha", "1.0", {"alpha.py": "x" * 999}), wheel("native", tag="cp31-abi3-none")]
    )
    found.lock_path.write_text(lock.path.read_text())
    assert mm.Registry().lock_state == "stale"
    found.lock_path.write_text(marks.marked(lock.path.read_text(), marks.INPUTS, found.inputs().digest))
    found = mm.Registry()
    assert found.lock_state == "fresh"
    alpha, other = found.get_module("alpha"), found.get_module("other")
    assert alpha is not None and (alpha.locked, alpha.size) == ("1.0", len(lock.wheels["alpha"].data))
    assert other is not None and other.size is None
    assert registry(text + "description = 'told otherwise'\n").lock_state == "fresh"
    assert registry(text.replace("'3'", "'4'")).lock_state == "stale"


SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/registry.schema.json").read_text("utf-8"))


def test_the_schema_has_the_fields_that_there_are() -> None:
    answers = {each.get("properties", {}).get("command", {}).get("const"): each for each in SCHEMA["oneOf"]}
    for action in ("list", "lock", "check", "init"):
        schema = answers[f"registry {action}"]
        expected = {"schema", "command", *typed.ANSWERS[f"registry {action}"]}
        assert expected == set(schema["required"]) == set(schema["properties"])
    module = SCHEMA["$defs"]["module"]
    assert set(typed.ANSWERS["registry info"]) == set(module["required"]) == set(module["properties"])


def command(capsys: pytest.CaptureFixture[str], *arguments: str, failed: bool = False) -> tuple[int, dict[str, Any]]:
    status = cli.main(["registry", *arguments, "--json"])
    return status, typed.answer(capsys.readouterr().out, f"registry {arguments[0]}", failed)


def test_the_commands(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert command(capsys, "list", failed=True)[1]["message"].startswith("there is no modules.toml here or above; ")
    assert command(capsys, "init")[1]["registry"] == "modules.toml"
    assert command(capsys, "init", failed=True)[1]["message"].startswith("modules.toml is already there; ")
    assert Path("modules.toml").read_text("utf-8") == TEXT
    (folder / "below").mkdir()
    status, answer = command(capsys, "list")
    assert status == 0 and answer["state"] == "missing" and len(answer["modules"]) == 12
    assert command(capsys, "info", "scikit_learn")[1]["dependencies"] == ["numpy", "scipy"]
    status, answer = command(capsys, "check")
    assert status == 1 and answer["findings"][0]["problem"].startswith("there is no lock; ")
    assert cli.main(["registry", "info", "pandas"]) == 0
    assert re.search(r"^dependencies  numpy, python-dateutil, pytz$", capsys.readouterr().out, re.MULTILINE)
    Path("modules.toml").write_text("[modules.a]\n")
    assert cli.main(["registry", "check"]) == 1
    assert capsys.readouterr().out == "modules.a: has no source: No download source available\n"


def test_a_setting_or_an_option_names_the_file(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "other.toml").write_text("[modules.b]\nversion = '1'\n")
    assert command(capsys, "list", "--registry", "other.toml")[1]["lock"] == str(folder / "pylock.other.toml")
