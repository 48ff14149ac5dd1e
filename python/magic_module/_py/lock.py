"""The program of a helper interpreter: it chooses the wheels of a lock for this interpreter.

    ─▶ {"do": "choose", "lock": {…}, "file": "/a/pylock.toml", "extras": […], "groups": […], "unhashed": …, "build": …}
    ◀─ {"scheme": {…}, "python": "3.12.1", "packages": [{"kind": "wheel", …}, {"kind": "directory", …}]}
    ─▶ {"do": "require", "distributions": {"pandas": {"name": "pandas", "requires_dist": […]}}, "beside": ["mine"]}
    ◀─ {"requires": {"pandas": ["numpy"]}, "missing": {}, "unread": {}}
    ◀─ {"error": {"kind": "requirement", "message": "…", "hint": "…", "path": "packages[3]"}}

One object in each line, until the input ends. It is never imported: the extension holds its text and starts
`python -I -S -X utf8 -c` with it. The arguments are folders to import `packaging` from.
"""

import sys

sys.path.extend(sys.argv[1:])

import contextlib
import dataclasses
import functools
import gc
import itertools
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

PYTHON = platform.python_version().removesuffix("+")
SYSTEMS = {"manylinux": "glibc", "musllinux": "musl", "macosx": "macOS"}
LOCK_IT_HERE = f"make a lock for Python {PYTHON} on this platform"


class RefusedError(Exception):
    """Why a lock cannot be used here."""

    def __init__(self, kind: str, why: str, hint: str, path: str | None = None) -> None:
        self.kind, self.why, self.hint, self.path = kind, why, hint, path


def choose(request: Mapping[str, Any]) -> dict[str, Any]:
    """The wheels and folders of a lock, in its order."""
    from packaging.tags import sys_tags

    tags = list(sys_tags())
    document = completed(request["lock"])
    # Most of a large lock is for others, and takes most of the time. What is wrong is said of the whole.
    try:
        return chosen(request, narrowed(document, tags), tags)
    except RefusedError:
        return chosen(request, document, tags)


def chosen(request: Mapping[str, Any], document: Mapping[str, Any], tags: Sequence[Any]) -> dict[str, Any]:
    """What `packaging` chooses from a document."""
    from packaging.pylock import PackageSdist, Pylock, PylockSelectError, PylockValidationError

    try:
        lock = Pylock.from_dict(document)
    except PylockValidationError as error:
        hint = "make it again with `magic-module lock`, `uv export` or `pip lock`"
        why = error.message.partition("\n")[0]
        raise RefusedError(
            "manifest", f"{error.context}: {why}" if error.context else why, hint, error.context
        ) from None
    if lock.requires_python and not lock.requires_python.contains(PYTHON, prereleases=True):
        why = f"it is for Python {lock.requires_python}, and this is {PYTHON}"
        raise RefusedError("requirement", why, LOCK_IT_HERE, "requires-python")
    extras = named("extra", request["extras"], lock.extras or [])
    groups = named("group", request["groups"], lock.dependency_groups or [])
    places = [f"packages[{index}]" for index in range(len(lock.packages))]
    # What has wheels only is given a source, so that `select` never fails for want of a wheel that fits.
    nothing = PackageSdist(path="nothing", hashes={})
    packages = [
        dataclasses.replace(package, sdist=nothing) if package.wheels and not package.sdist else package
        for package in lock.packages
    ]
    place_of = dict(zip(map(id, packages), places, strict=True))
    folder = os.path.dirname(request["file"])
    answers = []
    try:
        selected = dataclasses.replace(lock, packages=packages).select(
            tags=tags, extras=extras, dependency_groups=[*(lock.default_groups or []), *groups]
        )
        for package, source in selected:
            entry = Entry(package, place_of[id(package)], folder, tags, request)
            answers.append(entry.answer(source))
    except PylockSelectError as error:
        hint = f"{LOCK_IT_HERE}, and ask for extras and groups that go together"
        raise RefusedError("requirement", str(error), hint) from None
    except (ValueError, KeyError) as error:
        raise RefusedError("manifest", f"a marker has no meaning: {error}", "make the lock again") from None
    return {"scheme": scheme(), "python": PYTHON, "packages": answers}


def completed(lock: dict[str, Any]) -> dict[str, Any]:
    """The lock with what its readers want and nobody asks for here: hashes, file names, no dates."""
    packages = lock.get("packages")
    for package in packages if isinstance(packages, list) else []:
        if not isinstance(package, dict):
            continue
        wheels = package.get("wheels")
        for entry in [*(wheels if isinstance(wheels, list) else []), package.get("sdist"), package.get("archive")]:
            if isinstance(entry, dict):
                entry.pop("upload-time", None)
                entry["hashes"] = entry.get("hashes") or {"none": ""}
                if isinstance(url := entry.get("url"), str) and not entry.get("path"):
                    entry.setdefault("name", file_name(url))
    return lock


def narrowed(lock: Mapping[str, Any], tags: Sequence[Any]) -> Mapping[str, Any]:
    """The lock without the wheels that are for others, as far as their names tell."""
    here = set(map(str, tags))

    def fits(wheel: Any) -> bool:
        name = isinstance(wheel, dict) and (wheel.get("name") or wheel.get("path"))
        parts = name.lower().removesuffix(".whl").rsplit("-", 3)[1:] if isinstance(name, str) else []
        if len(parts) != 3:
            return True
        return any("-".join(tag) in here for tag in itertools.product(*(part.split(".") for part in parts)))

    packages = lock.get("packages")
    if not isinstance(packages, list):
        return lock
    fewer = []
    for package in packages:
        wheels = package.get("wheels") if isinstance(package, dict) else None
        few = [wheel for wheel in wheels if fits(wheel)] if isinstance(wheels, list) else []
        fewer.append(package | {"wheels": few} if few else package)
    return {**lock, "packages": fewer}


def file_name(url: str) -> str:
    """The last part of a URL's path."""
    return unquote(re.split("[?#]", url)[0].rsplit("/", 1)[-1])


def named(what: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names as the lock spells them."""
    from packaging.utils import canonicalize_name

    spelled = {canonicalize_name(name): name for name in known}
    for name in wanted:
        if canonicalize_name(name) not in spelled:
            there = f"there are {', '.join(known)}" if known else "there are none"
            hint = f"choose from these, or make the lock with it (`uv export --{what} {name}`)"
            raise RefusedError("configuration", f"it has no {what} {name!r}: {there}", hint)
    return [spelled[canonicalize_name(name)] for name in wanted]


class Entry:
    """One package that the lock has for this interpreter."""

    def __init__(self, package: Any, place: str, folder: str, tags: Sequence[Any], request: Mapping[str, Any]) -> None:
        self.package, self.place, self.folder, self.tags = package, place, folder, tags
        self.unhashed: bool = request["unhashed"]
        self.build: bool = request["build"]
        self.label = f"{package.name} {package.version}" if package.version else package.name

    def answer(self, source: Any) -> dict[str, Any]:
        """What is to be done with it."""
        package = self.package
        if package.directory is not None:
            return self.directory(source)
        if package.vcs is not None:
            return self.repository(source)
        if package.archive is not None:
            name = re.split(r"[/\\]", source.path)[-1] if source.path else file_name(source.url)
            if not name.endswith(".whl"):
                return self.archive(source, name, "archive")
            return self.wheel(source, name, "archive")
        if package.sdist is source:
            # A source that the lock has; not the one that stands for none.
            if package.wheels and not (self.build and source.hashes):
                raise self.unfit([wheel.filename for wheel in package.wheels], source)
            return self.archive(source, source.filename, "sdist")
        at = next(index for index, wheel in enumerate(package.wheels) if wheel is source)
        return self.wheel(source, source.filename, f"wheels[{at}]")

    def directory(self, source: Any) -> dict[str, Any]:
        """A project that is imported as it lies."""
        path = os.path.normpath(os.path.join(self.folder, source.path, source.subdirectory or ""))
        if not source.editable:
            hint = "lock it as an editable project (`-e`), or build a wheel (`uv build --wheel`) and lock that"
            raise self.unbuilt(f"folder {path}", hint)
        return self.common("directory") | {"path": path}

    def wheel(self, source: Any, name: str, key: str) -> dict[str, Any]:
        """A wheel that fits, with where it is and what it must be."""
        from packaging.utils import parse_wheel_filename

        place = f"{self.place}.{key}"
        try:
            project, version, _, tags = parse_wheel_filename(name)
        except ValueError as error:
            raise RefusedError("manifest", f"{error}", "name it as it was built, and lock it again", place) from None
        if project != self.package.name:
            why = f"{name} is not a wheel of {self.package.name}"
            raise RefusedError("manifest", why, "make the lock again", place)
        if tags.isdisjoint(self.tags):
            raise self.unfit([name])
        return self.common("wheel") | {"version": str(version)} | self.pinned(source, place)

    def archive(self, source: Any, name: str, key: str) -> dict[str, Any]:
        """A source archive that is to be built."""
        if not self.build:
            raise self.unbuilt(f"source archive {name}")
        answer = self.common("wheel") | self.pinned(source, f"{self.place}.{key}")
        return answer | self.built({"archive": name}, getattr(source, "subdirectory", None))

    def repository(self, source: Any) -> dict[str, Any]:
        """A commit that is to be built."""
        if not self.build:
            raise self.unbuilt(f"{source.type} repository")
        if source.type != "git":
            hint = "lock a wheel or a source archive of it instead"
            raise RefusedError("policy", f"{self.label} lies in a {source.type} repository", hint, self.place)
        if not re.fullmatch("[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", source.commit_id):
            why = f"the commit of {self.label} is not 40 or 64 hexadecimal digits"
            raise RefusedError("manifest", why, "make the lock again", f"{self.place}.vcs.commit-id")
        url = source.url or pathlib.Path(os.path.normpath(os.path.join(self.folder, source.path))).as_uri()
        answer = self.common("wheel") | {"url": re.sub("^git[+]", "", url), "size": None, "sha256": None}
        return answer | self.built({"commit": source.commit_id}, source.subdirectory)

    def built(self, what: dict[str, str], subdirectory: str | None) -> dict[str, Any]:
        """How a wheel is made of what the answer names."""
        inside = pathlib.PurePosixPath(subdirectory or ".")
        if inside.is_absolute() or ".." in inside.parts:
            why = f"the subdirectory of {self.label} is not below its source"
            raise RefusedError("manifest", why, "make the lock again", self.place)
        return {"build": {"from": what, "subdirectory": subdirectory or "", "uv": uv()}}

    def pinned(self, source: Any, place: str) -> dict[str, Any]:
        """Where an artifact is, and what it must be."""
        sha256 = source.hashes.get("sha256")
        if sha256 is None and not self.unhashed:
            hint = (
                "make a lock with sha256 hashes, or accept the first download with `unhashed=True` (`--allow-unhashed`)"
            )
            raise RefusedError("policy", f"{self.label} has no sha256", hint, f"{place}.hashes")
        if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            why = f"the sha256 of {self.label} is not 64 hexadecimal digits"
            raise RefusedError("manifest", why, "make the lock again", f"{place}.hashes.sha256")
        return {"url": self.url(source, place), "size": source.size, "sha256": sha256 and sha256.lower()}

    def common(self, kind: str) -> dict[str, Any]:
        """What every answer has."""
        version = self.package.version and str(self.package.version)
        return {"kind": kind, "name": self.package.name, "version": version, "index": self.package.index}

    def url(self, source: Any, place: str) -> str:
        """Absolute; a path counts from the folder of the lock."""
        if source.url:
            if source.url.partition("://")[0].lower() not in ("https", "http", "file"):
                why = f"the URL of {self.label} is not an https, http or file URL"
                raise RefusedError("manifest", why, "make the lock again", f"{place}.url")
            return str(source.url)
        return pathlib.Path(os.path.normpath(os.path.join(self.folder, source.path))).as_uri()

    def unbuilt(self, what: str, hint: str | None = None) -> RefusedError:
        """It has no wheel at all."""
        hint = hint or (
            "have it built here with `build=True` (`--build`), or lock a version that has wheels (`--only-binary`)"
        )
        return RefusedError("policy", f"{self.label} would have to be built from its {what}", hint, self.place)

    def unfit(self, names: Sequence[str], rest: Any = None) -> RefusedError:
        """It has wheels, for others."""
        tags = sorted({"-".join(name.removesuffix(".whl").split("-")[-3:]) for name in names})
        shown = ", ".join(tags[:4]) + (f" and {len(tags) - 4} more" if len(tags) > 4 else "")
        # What an index takes says which system it is for; a tag that does not comes first.
        wanted = next(filter(system, self.tags), self.tags[0])
        why = (
            f"no wheel of {self.label} fits this interpreter: the lock has {shown}, but this interpreter takes {wanted}"
        )
        if newer := self.newer_system(names):
            why += f"; {newer}"
        if rest and rest.hashes:
            why += f"; from {rest.filename} it would have to be built"
        hint = f"{LOCK_IT_HERE}, or lock a version of {self.package.name} that has a wheel for it"
        return RefusedError("requirement", why, hint, self.place)

    def newer_system(self, names: Sequence[str]) -> str | None:
        """What is missing where only the system is too old for a wheel."""
        from packaging.utils import parse_wheel_filename

        here: dict[tuple[str, ...], tuple[int, int]] = {}
        for key, number in filter(None, map(system, self.tags)):
            here[key] = max(number, here.get(key, number))
        needed = [
            (number, here[key], SYSTEMS[key[2]])
            for name in names
            for key, number in filter(None, map(system, parse_wheel_filename(name)[-1]))
            if key in here
        ]
        if not needed:
            return None
        least, ours, name = min(needed)
        return f"{name} {least[0]}.{least[1]} or newer is needed, and this system has {ours[0]}.{ours[1]}"


@functools.cache
def uv() -> str | None:
    """The uv that builds; without one that runs, pip does: a version manager's name for it may only complain."""
    program = os.environ.get("UV") or shutil.which("uv")
    try:
        asked = program and subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True)
    except OSError:
        return None
    return program if asked and asked.returncode == 0 else None


def system(tag: Any) -> tuple[tuple[str, ...], tuple[int, int]] | None:
    """What a tag asks of the system beyond the kind of machine."""
    found = re.fullmatch(r"(manylinux|musllinux|macosx)_(\d+)_(\d+)_(.+)", tag.platform)
    if not found:
        return None
    family, major, minor, machine = found.groups()
    return (tag.interpreter, tag.abi, family, machine), (int(major), int(minor))


def scheme() -> dict[str, str]:
    """Where a virtual environment of this interpreter keeps what, relative to its prefix."""
    names = sysconfig.get_scheme_names()
    venv = "venv" if "venv" in names else ("nt" if os.name == "nt" else "posix_prefix")
    root = os.path.abspath(os.sep)
    everywhere = dict.fromkeys(("base", "platbase", "installed_base", "installed_platbase"), root)
    paths = sysconfig.get_paths(venv, everywhere)
    relative = {key: os.path.relpath(paths[key], root).replace(os.sep, "/") for key in ("purelib", "scripts")}
    headers = "include/site/python{}.{}".format(*sys.version_info)
    return {"site": relative["purelib"], "scripts": relative["scripts"], "headers": headers}


def require(request: Mapping[str, Any]) -> dict[str, Any]:
    """Which units come with each, as their Requires-Dist say under the markers of this interpreter."""
    from packaging.utils import canonicalize_name

    distributions: dict[str, dict[str, Any]] = request["distributions"]
    units: dict[str, str] = {canonicalize_name(known["name"]): unit for unit, known in distributions.items()}
    there = {*units, *map(canonicalize_name, request["beside"])}
    unread: dict[str, list[str]] = {}

    @functools.cache
    def asked(unit: str, extra: str) -> list[tuple[str, str, frozenset[str]]]:
        """What a unit requires: text, name, extras."""
        found: list[tuple[str, str, frozenset[str]]] = []
        for text in distributions[unit]["requires_dist"]:
            try:
                requirement = parsed(text)
                if holds(requirement.marker, extra) and not (extra and holds(requirement.marker, "")):
                    name = canonicalize_name(requirement.name)
                    found.append((text, name, frozenset(map(canonicalize_name, requirement.extras))))
            # KeyError: an unknown variable in a marker.
            except (ValueError, KeyError, RecursionError):
                if text not in unread.setdefault(unit, []):
                    unread[unit].append(text)
        return found

    def closure(unit: str) -> Iterator[tuple[str, str, bool]]:
        """What comes with it, and whether itself asks for it: what its requirements' extras bring comes, too."""
        todo = [(unit, "")]
        seen = set(todo)
        while todo:
            asking, extra = todo.pop()
            for text, name, extras in asked(asking, extra):
                yield text, name, not extra
                wanted = {(units[name], it) for it in extras if name in units} - seen
                seen |= wanted
                todo += sorted(wanted)

    requires: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for unit in distributions:
        all_of_it = list(closure(unit))
        requires[unit] = sorted({units[name] for _, name, _ in all_of_it if name in units} - {unit})
        if absent := [text for text, name, itself in all_of_it if itself and name not in there]:
            missing[unit] = absent
    return {"requires": requires, "missing": missing, "unread": unread}


@functools.cache
def parsed(text: str) -> Any:
    """A requirement; many distributions have the same ones."""
    from packaging.requirements import Requirement

    return Requirement(text)


def holds(marker: Any, extra: str) -> bool:
    """Whether a requirement counts here."""
    return marker is None or bool(marker.evaluate({"extra": extra}))


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, or why not."""
    try:
        return choose(request) if request["do"] == "choose" else require(request)
    except RefusedError as error:
        message = f"cannot use the lock {request['file']}: {error.why}"
        return {"error": {"kind": error.kind, "message": message, "hint": error.hint, "path": error.path}}
    except ImportError as error:
        message = f"cannot choose the wheels of a lock, which takes packaging 26.1 or newer: {error}"
        hint = f"upgrade it (`pip install -U packaging`) where magic_module is installed; looked in {sys.argv[1:]}"
        return {"error": {"kind": "configuration", "message": message, "hint": hint}}


if __name__ == "__main__":
    # All that is made is needed until the end.
    gc.disable()
    # While the lock is read. What is missing is said to whoever asks.
    with contextlib.suppress(ImportError):
        import packaging.pylock
        import packaging.requirements  # noqa: F401
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
