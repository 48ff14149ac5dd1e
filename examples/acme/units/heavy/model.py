"""A very small model of languages; think of a big one."""

import importlib.resources
from typing import NamedTuple


class Model(NamedTuple):
    """Known words by language."""

    known: dict[str, frozenset[str]]

    @classmethod
    def load(cls) -> "Model":
        """Reads the files in `data`, which came with the unit."""
        data = importlib.resources.files(__package__) / "data"
        files = (file for file in data.iterdir() if file.name.endswith(".txt"))
        return cls({file.name[:-4]: frozenset(file.read_text(encoding="utf-8").split()) for file in files})

    def best(self, words: list[str]) -> str:
        """The language that knows most of the words."""
        return max(sorted(self.known), key=lambda language: sum(word in self.known[language] for word in words))
