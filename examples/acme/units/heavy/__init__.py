"""A unit of acme: code with data, downloaded by `import acme.heavy`."""

from acme.text import words

from .model import Model

__version__ = "2.0.0"


def language(text: str) -> str:
    """The language in which most of the words are known."""
    return Model.load().best(words(text))
