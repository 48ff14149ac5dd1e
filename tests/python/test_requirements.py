"""Whether interpreter and installed distributions fit: the sentences a user reads, and the command that mends it."""

import shlex
import sys
from pathlib import Path

import pytest

from magic_module._py import requirements
from magic_module.errors import RequirementError

RUNNING = ".".join(map(str, sys.version_info[:3]))
PIP = f"{shlex.quote(sys.executable)} -m pip install"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version, requires in [
        ("zz_old", "1.0", []),
        ("zz-extras", "2.0", ["zz-old>=2; extra == 'fast'", "zz-absent; extra == 'slow'", "zz-gone"]),
        ("zz-odd", "not a version", []),
    ]:
        info = tmp_path / f"{name.replace('-', '_')}-{version.split()[0]}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (info / "METADATA").write_text("\n".join(lines + [f"Requires-Dist: {text}" for text in requires]) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def refused(*dependencies: str, requires_python: str | None = None) -> RequirementError:
    with pytest.raises(RequirementError) as caught:
        requirements.check("acme.heavy", requires_python, list(dependencies))
    assert caught.value.name == "acme.heavy"
    return caught.value


def test_what_fits_is_silent() -> None:
    requirements.check("acme.heavy", None, [])
    requirements.check(
        "acme.heavy", ">=3.10", ["zz.old", "zz-old==1.*", "zz-extras", "zz-absent; python_version < '3'"]
    )


def test_everything_that_is_missing_is_one_error() -> None:
    error = refused("zz-old>=1.5", "zz-absent[x]!=3; python_version >= '3'", "zz_extras[fast,slow]", "zz-old")
    assert str(error) == (
        "cannot import acme.heavy: it needs zz-old>=1.5 (1.0 is installed), zz-absent[x]!=3 (not installed), "
        f"zz-old>=2 (1.0 is installed) and zz-absent (not installed); run `{error.hint[5:-1]}`"  # type: ignore[index]
    )
    assert error.hint == f"run `{PIP} 'zz-old>=1.5' 'zz-absent[x]!=3' 'zz-old>=2' zz-absent`"
    assert error.expected == "zz-old>=1.5, zz-absent[x]!=3, zz-old>=2, zz-absent"
    assert error.got == "1.0 is installed, not installed, 1.0 is installed, not installed"


def test_one_is_named_alone() -> None:
    assert str(refused("zz-absent")) == (
        f"cannot import acme.heavy: it needs zz-absent (not installed); run `{PIP} zz-absent`"
    )


def test_a_version_that_cannot_be_compared_does_not_fit() -> None:
    assert "zz-odd>=1 (not a version is installed)" in str(refused("zz-odd>=1"))


def test_the_wrong_python() -> None:
    error = refused("zz-absent", requires_python=">=4")
    assert str(error) == (
        f"cannot import acme.heavy: it needs Python >=4, and this is Python {RUNNING}; "
        "run it with a Python that is >=4, or pin an older version of acme.heavy"
    )
    assert (error.expected, error.got) == (">=4", RUNNING)


def test_a_requirement_that_is_none_names_itself() -> None:
    assert str(refused("not a requirement")) == (
        "cannot import acme.heavy: its dependency 'not a requirement' is not a requirement; "
        "publish acme.heavy again with requirements as PEP 508 defines them"
    )
    assert "'about three' is not a version specifier" in str(refused(requires_python="about three"))


def test_the_best_tag_comes_first() -> None:
    tags = requirements.supported_tags()
    cpython = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert tags[0].startswith(f"{cpython}-{cpython}")
    assert tags[-1].endswith("-none-any")
