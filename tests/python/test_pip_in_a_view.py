"""`pip` in the view of a lock tells and checks, and refuses to change what follows from the lock."""

import subprocess
import sys

import pytest

from magic_module._py.pip import refusal

INTO_IT = [
    ["install", "requests"],
    ["--quiet", "install", "-U", "requests"],
    ["--proxy", "http://proxy.example", "install", "-r", "requirements.txt"],
    ["--log", "list", "install", "."],
    ["uninstall", "-y", "requests"],
]

ELSEWHERE = [
    [],
    ["list"],
    ["--version"],
    ["show", "install"],
    ["--log", "install", "list"],
    ["install", "--dry-run", "requests"],
    ["install", "requests", "--target=somewhere"],
    ["install", "-t", "somewhere", "requests"],
    ["install", "--prefix", "somewhere", "requests"],
    ["install", "--root", "somewhere", "requests"],
    ["install", "--help"],
    ["download", "requests"],
]


@pytest.mark.parametrize("arguments", INTO_IT, ids=" ".join)
def test_nothing_is_installed_into_a_view(arguments):
    sentence = refusal(arguments)
    assert sentence is not None
    assert sentence.startswith(f"pip cannot {'uninstall' if 'uninstall' in arguments else 'install'} here: ")
    assert "run `magic-module lock` again, with" in sentence


@pytest.mark.parametrize("arguments", ELSEWHERE, ids=" ".join)
def test_what_leaves_the_view_alone_is_pips_own_affair(arguments):
    assert refusal(arguments) is None


def test_the_sentence_names_what_was_meant():
    assert str(refusal(["install", "-U", "a", "b"])).endswith("again, with a b among its names")
    assert str(refusal(["uninstall", "-y", "a"])).endswith("again, without a")


def pip(*arguments, code=""):
    program = f"import sys\n{code}\nfrom magic_module._py.pip import main\nsys.exit(main())"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)


def test_a_refusal_is_one_line_and_a_status():
    done = pip("install", "requests")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: pip cannot install here: ")
    assert done.stderr.count("\n") == 1


def test_a_lock_without_pip_says_so():
    without = "import importlib.util; importlib.util.find_spec = lambda name: None"
    done = pip("list", code=without)
    assert done.returncode == 1
    assert done.stderr.startswith("error: pip is not in this environment's lock")


def test_everything_else_is_done_by_the_pip_that_is_there(tmp_path):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").write_text("")
    (tmp_path / "pip" / "__main__.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)\n")
    done = pip("list", "--outdated", code=f"sys.path.insert(0, {str(tmp_path)!r})")
    assert (done.returncode, done.stdout) == (3, "['list', '--outdated']\n")
