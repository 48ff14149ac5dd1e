"""What a pack of your own folder would weigh: deflate against zstd, one by one against all in one.

    python benches/packs.py FOLDER_OR_WHEEL…

Files of up to 1 MiB, sorted by path, as ``publish`` packs them. Times are for one core; ``zstd`` must be installed.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

Files = list[tuple[str, bytes]]

SMALL = 1 << 20
HEADERS = 128


def read(source: Path) -> Files:
    """The small files of a folder or a wheel, sorted by path."""
    if source.is_dir():
        found = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        files = [(path.relative_to(source).as_posix(), path.read_bytes()) for path in found]
    else:
        with zipfile.ZipFile(source) as wheel:
            files = [(name, wheel.read(name)) for name in wheel.namelist() if not name.endswith("/")]
    return sorted((name, data) for name, data in files if len(data) <= SMALL)


def stored(files: Files) -> bytes:
    """A zip of stored entries."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data)
    return memory.getvalue()


def groups(files: Files, most: int) -> list[Files]:
    """Neighbours, up to so many bytes."""
    made: list[Files] = []
    room = 0
    for name, data in files:
        cost = len(data) + HEADERS + 2 * len(name)
        if cost > room:
            made.append([])
            room = most
        made[-1].append((name, data))
        room -= cost
    return made


def deflated(level: int) -> Callable[[bytes], tuple[bytes, Callable[[bytes], object]]]:
    """A compressor of one entry, and its opposite."""

    def compress(data: bytes) -> tuple[bytes, Callable[[bytes], object]]:
        return zlib.compress(data, level, wbits=-15), lambda packed: zlib.decompress(packed, wbits=-15)

    return compress


def framed(level: int) -> Callable[[bytes], tuple[bytes, Callable[[bytes], object]]]:
    """A compressor of one pack, and its opposite."""

    def run(*options: str, data: bytes) -> bytes:
        return subprocess.run(["zstd", "-qc", *options], input=data, stdout=subprocess.PIPE, check=True).stdout

    def compress(data: bytes) -> tuple[bytes, Callable[[bytes], object]]:
        packed = run("--ultra", f"-{level}", "--single-thread", f"--stream-size={len(data)}", data=data)
        return packed, lambda packed: run("-d", data=packed)

    return compress


def measure(pieces: Sequence[bytes], compressor: Callable[[bytes], tuple[bytes, Callable[[bytes], object]]]) -> str:
    """Bytes, seconds to pack, milliseconds to unpack."""
    started = time.perf_counter()
    packed = [compressor(piece) for piece in pieces]
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    for data, unpack in packed:
        unpack(data)
    milliseconds = (time.perf_counter() - started) * 1000
    return f"{sum(len(data) for data, _ in packed):>12,} {seconds:>9.2f} {milliseconds:>9.0f}"


def main(sources: Sequence[str]) -> None:
    """Prints a table for each source."""
    if not sources:
        sys.exit(__doc__)
    if not shutil.which("zstd"):
        sys.exit("cannot measure: zstd is not installed")
    for source in sources:
        files = read(Path(source))
        print(f"{Path(source).name}: {len(files)} files, {sum(len(data) for _, data in files):,} bytes")
        print(f"{'':<32} {'bytes':>12} {'pack, s':>9} {'unpack, ms':>9}")
        alone = [data for _, data in files]
        for level in (6, 9):
            print(f"{f'each by itself, deflate {level}':<32} {measure(alone, deflated(level))}")
        for level, most in ((3, 4), (9, 4), (15, 4), (19, 2), (19, 4), (19, 64)):
            pieces = [stored(group) for group in groups(files, most << 20)]
            print(f"{f'{len(pieces)} of {most} MiB, zstd {level}':<32} {measure(pieces, framed(level))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
