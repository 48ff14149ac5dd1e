"""What the words of the command line stand for: names, requirements files, a project, a script."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from magic_module._py.cli.answer import WrongUsage

FOUND = ("pyproject.toml", "requirements.txt")
"""What is locked when nothing is named."""

_FILE = (".txt", ".in")


def sort(words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Positional arguments as names, requirements files and projects.

    Raises:
        WrongUsage: a word is none of these.
    """
    names, files, projects = [], [], []
    for word in words:
        if re.search(r"[\r\n]", word):
            raise WrongUsage(f"{word} is not a requirement")
        if os.path.basename(word) == "pyproject.toml":
            projects.append(_file(word))
        elif word.endswith(_FILE) and "://" not in word and " @ " not in word:
            files.append(_file(word))
        elif word.endswith(".py"):
            raise WrongUsage(f"{word} is not a requirement; if it is a script with metadata, write --script {word}")
        elif (word in (".", "..") or "/" in word or os.sep in word) and os.path.isdir(word):
            projects.append(_file(os.path.join(word, "pyproject.toml")))
        else:
            names.append(word)
    if len(projects) > 1:
        raise WrongUsage(f"{projects[0]} and {projects[1]} are two projects; a lock is made of one")
    return names, files, projects


def found() -> str | None:
    """The file of this folder that says what it requires."""
    return next((name for name in FOUND if os.path.isfile(name)), None)


def nothing(output: str) -> WrongUsage:
    """Nobody said what to lock."""
    what = "nothing to lock: give names, a requirements file or a pyproject.toml, or --script FILE"
    made = _made_by(output)
    return WrongUsage(f"{what}; {output} was made by `{made}`" if made else what)


def _made_by(output: str) -> str | None:
    try:
        head = Path(output).read_text("utf-8", "replace")[:10_000]
    except OSError:
        return None
    match = re.search(r"^#\s+(magic-module lock .*)$", head, re.MULTILINE)
    return match.group(1) if match else None


def _file(path: str) -> str:
    if not os.path.isfile(path):
        raise WrongUsage(f"{path} is not a file")
    return path
