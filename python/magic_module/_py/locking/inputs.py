"""What a resolver is told of a registry: a project that is made for it, in a folder that nobody else can read.

```toml
[project]
dependencies = ["pandas==2.1.4", "corp-lib>=1"]
[tool.uv.sources]
corp-lib = { index = "entry-1" }          # an entry's own index binds that entry …
[[tool.uv.index]]
name = "entry-1"
url = "https://…"
explicit = true                           # … and no other package is taken from it
```
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from magic_module._py.locking.reading import wrong
from magic_module._py.locking.secrets import Secrets, shown, without_login


@dataclass(frozen=True)
class Wanted:
    """One thing that has to be in a lock."""

    place: str
    """Where the file says so: `modules.pandas`."""
    requirement: str
    """`pandas==2.1.4`, `x @ git+https://…`, or `git+https://…` alone."""
    index: str | None = None
    name: str | None = None
    """Of the distribution, as far as it is known."""

    def shown(self) -> str:
        """The requirement as it may be shown."""
        return shown(self.requirement)


@dataclass(frozen=True)
class Inputs:
    """What is to be locked, as a resolver is told."""

    of: str
    """The file that says so."""
    command: tuple[str, ...]
    """What makes the lock again."""
    digest: str
    """Of all that the lock follows from."""
    wanted: tuple[Wanted, ...]
    secrets: Secrets = field(default_factory=Secrets, compare=False)

    @property
    def has_own_indexes(self) -> bool:
        """Some come from an index of their own, which not every resolver can keep apart."""
        return any(each.index for each in self.wanted)

    def nameless(self) -> tuple[str, ...]:
        """Requirements that do not say what they are called."""
        return tuple(self._expanded(each) for each in self.wanted if each.name is None)

    def named(self) -> tuple[str, ...]:
        """All others."""
        return tuple(self._expanded(each) for each in self.wanted if each.name is not None)

    def project(self) -> str:
        """The text of `pyproject.toml`, with what lets one in."""
        lines = ["[project]", 'name = "magic-module-inputs"', 'version = "0"', "dependencies = ["]
        named = [each for each in self.wanted if each.name is not None]
        lines += [f"  {json.dumps(self._expanded(each))}," for each in named]
        lines.append("]")
        indexes = {each.name: each for each in named if each.index is not None}
        names: dict[str | None, str] = {}
        for each in indexes.values():
            names.setdefault(each.index, f"entry-{len(names) + 1}")
        if indexes:
            lines.append("[tool.uv.sources]")
            lines += [f'"{name}" = {{ index = "{names[each.index]}" }}' for name, each in indexes.items()]
        for index, name in names.items():
            place = next(each.place for each in indexes.values() if each.index == index)
            url = self.secrets.expand(index or "", f"{place}.index", self.of)
            lines += ["[[tool.uv.index]]", f'name = "{name}"', f"url = {json.dumps(url)}", "explicit = true"]
        return "\n".join(lines) + "\n"

    def git_logins(self) -> dict[str, str]:
        """Variables by which git, and nobody else, learns what lets it into a repository."""
        pairs = {}
        for each in self.wanted:
            url = repository(each.requirement)
            bare = url and without_login(url)
            if url is not None and bare is not None and bare != url:
                real = self.secrets.expand(url, f"{each.place}.source", self.of)
                # A user's name alone is forgotten after the first answer by a git with curl 8.23:
                # https://github.com/curl/curl/pull/23016
                real = re.sub(r"(?<=://)([^/@:]+)@", r"\1:@", real)
                pairs[f"url.{real}.insteadOf"] = bare
        variables = {"GIT_TERMINAL_PROMPT": "0"}
        if pairs:
            variables["GIT_CONFIG_COUNT"] = str(len(pairs))
        for at, (key, value) in enumerate(pairs.items()):
            variables |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
        return variables

    def logins(self) -> list[str]:
        """URLs with what lets one in, of indexes and of wheels."""
        found = []
        for each in self.wanted:
            for text in (each.index, each.requirement.rpartition(" ")[2]):
                if text and "@" in text and "://" in text and "git+" not in text:
                    found.append(self.secrets.expand(text, each.place, self.of))
        return found

    def _expanded(self, each: Wanted) -> str:
        if "git+" in each.requirement:
            return without_login(each.requirement)
        return self.secrets.expand(each.requirement, each.place, self.of)


def repository(requirement: str) -> str | None:
    """The URL of the repository that a requirement names, without its tag; None if it names none."""
    found = re.search(r"\bgit\+(\w+://)([^\s/#]*)([^\s#]*)", requirement)
    return found and found.group(1) + found.group(2) + found.group(3).partition("@")[0]


def inputs(of: str, command: Sequence[str], wanted: Iterable[Wanted]) -> Inputs:
    """What is to be locked.

    Raises:
        ConfigurationError: one distribution is to come from two indexes.
    """
    once: dict[tuple[str, str | None], Wanted] = {}
    indexes: dict[str, Wanted] = {}
    for each in wanted:
        if each.index and each.name is None:
            raise wrong(of, each.place, "has an index, and is from none", "remove one of them")
        if each.name is not None and each.index:
            other = indexes.setdefault(each.name, each)
            if other.index != each.index:
                raise wrong(
                    of, each.place, f"takes {each.name} from another index than {other.place}", "keep one index"
                )
        once.setdefault((each.requirement, each.index), each)
    kept = tuple(once.values())
    facts = sorted([shown(each.requirement), shown(each.index or "")] for each in kept)
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return Inputs(of, tuple(command), digest, kept)
