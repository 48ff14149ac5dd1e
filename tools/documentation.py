"""The documentation site: built from docs/ and the docstrings into dist/site, then every link in it is followed.

    documentation.py          `make docs`

Zensical reports broken links between pages with their lines. It does not look at navigation, images, schemas and
the generated pages, so the finished pages are read once more here. Links to other sites are not followed: the check
needs no network.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import environments
from environments import ROOT, Failure, clean_environment, executable

SITE = ROOT / "dist" / "site"
CALLS = SITE / "reference" / "python.html"


class Page(HTMLParser):
    """The links of a page, and the places in it that a link can name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value is not None and name in ("id", "name"):
                self.places.add(value)
            elif value is not None and name in ("href", "src"):
                self.links.append(value)


def build() -> None:
    """The site of the docs as they are now."""
    python = environments.documentation_python(environments.interpreters()[-1])
    command = [str(executable(python, "zensical")), "build", "--strict", "--clean"]
    # Its report paints each letter, also where nobody sees colours.
    environment = clean_environment(NO_COLOR="1", TERM="dumb")
    if subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
        raise Failure("the documentation site was not built: see the warnings above")


def problems() -> list[str]:
    """A sentence about each link that leads nowhere, each page that is not in the site, each call without a text."""
    pages = {path.resolve(): Page(path) for path in SITE.rglob("*.html")}
    found = [
        f"docs/{path.relative_to(ROOT / 'docs').as_posix()} is not in the site"
        for path in (ROOT / "docs").rglob("*.md")
        if (SITE / path.relative_to(ROOT / "docs").with_suffix(".html")).resolve() not in pages
    ]
    for path, page in sorted(pages.items()):
        # The page for what is not found is served for any address: its links have no fixed start.
        if path.name != "404.html":
            found += [
                f"{path.relative_to(ROOT)}: {link} leads nowhere" for link in page.links if broken(path, link, pages)
            ]
    calls = pages[CALLS.resolve()].places
    found += [
        f"docs/reference/python.md does not name {name}" for name in public() if f"magic_module.{name}" not in calls
    ]
    return found


def broken(page: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link of a page names a file or a place in the site that is not there."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    if SITE.resolve() not in target.parents or not target.is_file():
        return True
    anchor = unquote(parts.fragment)
    # Zensical's own `__…` anchors are for its scripts.
    return bool(anchor) and not anchor.startswith("__") and target in pages and anchor not in pages[target].places


def public() -> list[str]:
    """The names in `magic_module.__all__`, read from the source."""
    module = ast.parse((ROOT / "python" / "magic_module" / "__init__.py").read_text("utf-8"))
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [name for name in ast.literal_eval(node.value) if not name.startswith("_")]
    raise Failure("python/magic_module/__init__.py has no list __all__")


def main() -> int:
    try:
        build()
        found = problems()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    for sentence in found:
        print(f"error: {sentence}", file=sys.stderr)
    print(SITE.relative_to(ROOT) / "index.html")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
