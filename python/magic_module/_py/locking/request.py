"""What is to be locked, and how: what a resolver is told."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from magic_module._native import _shown as shown
from magic_module._py.locking.inputs import Inputs
from magic_module._py.locking.urls import cut

LONGEST = 10_000
"""Bytes of a command that are written into a lock."""


@dataclass(frozen=True)
class Request:
    """Everything that the command line said."""

    names: tuple[str, ...] = ()
    """Requirements, as they were written: `pandas>=2`, `name @ git+https://…`, `./x.whl`."""
    files: tuple[str, ...] = ()
    """Requirements files."""
    project: str | None = None
    """A `pyproject.toml`."""
    script: str | None = None
    """A script with PEP 723 metadata."""
    says_indexes: bool = True
    """The lock tells which index each package came from; where nobody will compare that, it need not."""
    inputs: Inputs | None = None
    """What a registry, or a list of links, names."""
    made_by: tuple[str, ...] | None = None
    """The command that makes this lock again, if it is not `lock` with what else is said here."""
    digest: str | None = None
    """Of the files of the lock's own folder, if it follows from them alone."""
    output: str = "pylock.toml"
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    python: str | None = None
    """A version, or an interpreter; None is the one that runs this."""
    exclude_newer: str | None = None
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    upgrade: tuple[str, ...] | None = None
    """None keeps every version that the old lock has and that still fits; `()` keeps none."""

    def keeps(self) -> bool:
        """Whether versions of the old lock are preferred."""
        return self.upgrade != ()

    def hide(self, text: str) -> str:
        """What a resolver said, without what it was told in secret."""
        return text if self.inputs is None else self.inputs.secrets.hide(text)

    def command(self) -> str:
        """The command that makes this lock again, without credentials and without what is said only once."""
        said = self.made_by if self.inputs is None else self.inputs.command
        if said is not None:
            return shown(shlex.join(said), LONGEST)
        # On one line, whatever it holds: it becomes a comment of the lock.
        return shown(shlex.join(["magic-module", "lock", *self._words()]), LONGEST)

    def _words(self) -> Iterator[str]:
        yield from (cut(name) for name in self.names)
        if self.project is not None:
            yield self.project
        several = (
            ("-r", self.files),
            ("--extra-index-url", tuple(cut(url) for url in self.extra_index_urls)),
            ("-c", self.constraints),
            ("--extra", self.extras),
            ("--group", self.groups),
        )
        single = (
            ("--script", self.script),
            ("--index-url", None if self.index_url is None else cut(self.index_url)),
            ("--python", self.python),
            ("--exclude-newer", self.exclude_newer),
        )
        for option, values in (*several, *((option, (value,)) for option, value in single if value is not None)):
            for value in values:
                yield from (option, value)
        yield from ("-o", self.output)
