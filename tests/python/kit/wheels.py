"""Wheels made on the spot: the same arguments give the same bytes, and the RECORD is right.

    alpha = wheel("alpha", "1.0", {"alpha/__init__.py": "VALUE = 1"}, requires=["beta>=1"])
    alpha.write(folder)                                     # folder/alpha-1.0-py3-none-any.whl
    wheel("tool", "2", {"tool.py": "…"}, scripts={"tool": "tool:main"}, data={"data/share/tool.json": "{}"})
    wheel("fast", "1", {f"fast{suffix()}": extension(folder, "fast")}, tag=native_tag())

To be wrong on purpose, a wheel takes `record` (other lines for RECORD) and `more` (files that RECORD does not list).
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import sys
import sysconfig
import textwrap
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .sources import Sources

_TIME = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Wheel:
    """The bytes of a wheel, and what its name and its metadata say."""

    name: str
    version: str
    filename: str
    metadata: bytes
    data: bytes

    @property
    def sha256(self) -> str:
        """Of the whole wheel, in hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()

    def write(self, folder: Path) -> Path:
        """Writes the wheel into `folder`, which is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / self.filename
        target.write_bytes(self.data)
        return target


def native_tag() -> str:
    """The tag of an extension module that the running interpreter compiled."""
    interpreter = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    return f"{interpreter}-{interpreter}-{platform}"


def wheel(
    name: str,
    version: str = "1.0",
    files: Sources | None = None,
    *,
    requires: Sequence[str] = (),
    extras: Mapping[str, Sequence[str]] | None = None,
    requires_python: str | None = None,
    summary: str = "Made for a test.",
    scripts: Mapping[str, str] | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    data: Sources | None = None,
    dist_info: Sources | None = None,
    executable: Collection[str] = (),
    folders: bool = False,
    tag: str = "py3-none-any",
    build: str = "",
    record: str | None = None,
    more: Sources | None = None,
) -> Wheel:
    """Builds a wheel.

    Args:
        name: as METADATA has it; the file name gets its escaped form.
        version: a normal version (PEP 440).
        files: what lies in site-packages; a text is dedented.
        requires: the lines of Requires-Dist.
        extras: for each extra what it requires, without the marker.
        requires_python: as METADATA has it.
        summary: as METADATA has it.
        scripts: console scripts, such as ``{"tool": "tool:main"}``.
        entry_points: every other group.
        data: what lies in ``.data``, by its path there: ``scripts/tool``, ``data/share/x.json``, ``headers/x.h``.
        dist_info: further files of ``.dist-info``, or others in place of ours (``WHEEL``, ``METADATA``).
        executable: paths of the archive that have the executable bits; those in ``data`` below ``scripts`` have them.
        folders: whether the archive has an entry for each folder, too.
        tag: its last three parts are those of the file name; several are separated by ``.`` as there.
        build: the build number, if any.
        record: the text of RECORD in place of the right one.
        more: files that the archive holds and RECORD does not list.
    """
    escaped = re.sub(r"[-_.]+", "_", name).lower()
    info, beside = f"{escaped}-{version}.dist-info", f"{escaped}-{version}.data"
    metadata = _metadata(name, version, summary, requires_python, requires, extras or {})
    groups = {**({"console_scripts": scripts} if scripts else {}), **(entry_points or {})}
    own: dict[str, str | bytes] = {"METADATA": metadata, "WHEEL": _wheel(tag, build)}
    if groups:
        own["entry_points.txt"] = "\n".join(
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in groups.items()
        )
    own |= dist_info or {}
    members: dict[str, bytes] = {path: _bytes(content) for path, content in (files or {}).items()}
    members |= {f"{beside}/{path}": _bytes(content) for path, content in (data or {}).items()}
    members |= {f"{info}/{path}": _bytes(content) for path, content in own.items()}
    if record is None:
        rows = [f"{_cell(path)},{_digest(content)},{len(content)}\n" for path, content in members.items()]
        record = "".join([*rows, f"{info}/RECORD,,\n"])
    members[f"{info}/RECORD"] = record.encode()
    members |= {path: _bytes(content) for path, content in (more or {}).items()}
    programs = {*executable, *(path for path in members if path.startswith(f"{beside}/scripts/"))}
    parts = [escaped, version, *([build] if build else []), tag]
    return Wheel(name, version, "-".join(parts) + ".whl", members[f"{info}/METADATA"], _zip(members, programs, folders))


def _metadata(
    name: str,
    version: str,
    summary: str,
    requires_python: str | None,
    requires: Sequence[str],
    extras: Mapping[str, Sequence[str]],
) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Summary: {summary}"]
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    for extra, requirements in extras.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {requirement}; extra == '{extra}'" for requirement in requirements]
    return "\n".join([*lines, "", f"{name} was made for a test.", ""])


def _wheel(tag: str, build: str) -> str:
    pythons, abis, platforms = tag.split("-")
    tags = [f"{p}-{a}-{o}" for p in pythons.split(".") for a in abis.split(".") for o in platforms.split(".")]
    pure = str(abis == "none" and platforms == "any").lower()
    lines = ["Wheel-Version: 1.0", "Generator: kit", f"Root-Is-Purelib: {pure}"]
    return "\n".join([*lines, *(f"Tag: {each}" for each in tags), *([f"Build: {build}"] if build else []), ""])


def _bytes(content: str | bytes) -> bytes:
    return textwrap.dedent(content.removeprefix("\n")).encode() if isinstance(content, str) else content


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return "sha256=" + digest.decode().rstrip("=")


def _cell(path: str) -> str:
    return f'"{path}"' if "," in path else path


def _zip(members: Mapping[str, bytes], executable: Collection[str], folders: bool) -> bytes:
    memory = io.BytesIO()
    known: set[str] = set()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            parents = path.split("/")[:-1]
            for depth in range(len(parents)) if folders else ():
                folder = "/".join(parents[: depth + 1]) + "/"
                if folder not in known:
                    known.add(folder)
                    archive.writestr(_entry(folder, 0o40755), b"")
            archive.writestr(_entry(path, 0o100755 if path in executable else 0o100644), content)
    return memory.getvalue()


def _entry(path: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _TIME)
    entry.create_system = 3  # the mode is one of Unix, wherever the test runs
    entry.external_attr = mode << 16 | (0x10 if path.endswith("/") else 0)
    entry.compress_type = zipfile.ZIP_STORED if path.endswith("/") else zipfile.ZIP_DEFLATED
    return entry
