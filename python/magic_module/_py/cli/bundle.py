"""`bundle` and `unbundle`: packages are carried to where no network is, in a zip that anyone can open.

```text
bundle.json                      what is in it, each with its sha256
bundle.json.minisig              its signature, if a key was given
pylock.toml                      the lock that it was made of, for people: `unbundle` does not believe it
artifacts/<sha256>/<file name>   wheels as they were published, stored and not compressed again
```
"""

import argparse
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.cli import ahead
from magic_module._py.cli.answer import Answer, WrongUsage, count
from magic_module._py.cli.check import provided
from magic_module._py.cli.mounting import provide
from magic_module._py.cli.publish import password_of
from magic_module._py.progress import size
from magic_module.errors import IntegrityError, StoreError

FORMAT = 1
SUFFIX = ".zip"
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in it: the same packages give the same bundle, to the byte."""


def bundle(options: argparse.Namespace) -> Answer:
    """Fetches what is named and what that requires, and writes it into one file."""
    target = Path(options.output)
    if target.suffix != SUFFIX:
        raise WrongUsage(f"{target} is not a name of a bundle, which ends in {SUFFIX}")
    names: list[str] = [*options.names, *(ahead.traced(options) if options.trace_of is not None else [])]
    script = options.imports_of
    namespace = provide(options, names, needed=script is None)
    if script is not None:
        names += [name for name in provided(script) if name not in names]
    elif not names and options.trace_of is None:
        names = [unit.name for unit in _native.available(namespace)]
    parts = _native._bundle_parts(names)
    lock = options.lock or _native._settings()["lock"]
    artifacts = [
        {"unit": unit, "version": version, "path": f"artifacts/{sha256}/{name}", "size": length, "sha256": sha256}
        for unit, version, name, sha256, length, _ in parts
    ]
    text = None if lock is None else Path(lock).read_bytes()
    about = {
        "bundle": FORMAT,
        "lock": lock and "pylock.toml",
        "lock_sha256": text and hashlib.sha256(text).hexdigest(),
        "artifacts": artifacts,
    }
    said = json.dumps(about, indent=1, ensure_ascii=False).encode() + b"\n"
    signature = None
    if options.sign is not None:
        comment = f"bundle of {count(len(artifacts), 'artifact')}"
        signature = _native._signature(options.sign, password_of(options.sign), said, comment)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(aside, "w") as archive:
            _add(archive, "bundle.json", said)
            if signature is not None:
                _add(archive, "bundle.json.minisig", signature)
            if text is not None:
                _add(archive, "pylock.toml", text)
            for artifact, (*_, blob) in zip(artifacts, parts, strict=True):
                data = blob.read_bytes()
                if hashlib.sha256(data).hexdigest() != artifact["sha256"]:
                    hint = "run magic-module verify"
                    raise IntegrityError(f"{blob} is damaged; {hint}", path=str(blob), hint=hint)
                _add(archive, str(artifact["path"]), data)
        aside.replace(target)
    except OSError as error:
        why = error.strerror or str(error)
        hint = "check its folder, and the space on its disk"
        raise StoreError(f"cannot write {target}: {why}; {hint}", path=str(target), hint=hint) from None
    finally:
        aside.unlink(missing_ok=True)
    total = target.stat().st_size
    data_of: dict[str, Any] = {"bundle": str(target.absolute()), "artifacts": artifacts, "bytes": total}
    units = len({artifact["unit"] for artifact in artifacts})
    return Answer(data_of, [f"{shown(str(target))}: {count(units, 'package')}, {size(total)}"])


def unbundle(options: argparse.Namespace) -> Answer:
    """Puts what a bundle has into the cache, where mounts that ask for it find it."""
    artifacts, total = _native._unbundle(options.file, options.public_key or [])
    data = {"bundle": options.file, "artifacts": artifacts, "bytes": total}
    what = f"{count(artifacts, 'artifact')}, {size(total)}"
    return Answer(data, [f"{shown(options.file)}: {what} in the cache, for any lock that names them"])


def _add(archive: zipfile.ZipFile, path: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(path, _DATE)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data, zipfile.ZIP_STORED)
