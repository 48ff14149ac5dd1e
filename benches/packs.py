"""What a pack of your own folder would weigh: deflate against zstd, one by one against all in one.

    python benches/packs.py FOLDER_OR_WHEEL…

Files of up to 1 MiB, sorted by path, as ``publish`` packs them. Times are processor time of one core, of unpacking the
least of five. ``pip install zstandard`` first.
"""

from __future__ import annotations

import io
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

Files = list[tuple[str, bytes]]

SMALL = 1 << 20
HEADERS = 128
ROUNDS = 5
WHOLE = 64
"""MiB of a pack that holds everything."""
PACKS = ((3, WHOLE), (9, WHOLE), (15, WHOLE), (19, WHOLE), (22, WHOLE), (19, 8), (19, 4), (19, 2))
"""Level and MiB."""

# Compresses a piece, and the opposite.
Codec = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]


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


def deflated(level: int) -> Codec:
    def compress(data: bytes) -> bytes:
        packing = zlib.compressobj(level, wbits=-15)
        return packing.compress(data) + packing.flush()

    return compress, lambda packed: zlib.decompress(packed, wbits=-15)


def framed(level: int) -> Codec:
    import zstandard

    return zstandard.ZstdCompressor(level).compress, zstandard.ZstdDecompressor().decompress


def measure(pieces: Sequence[bytes], codec: Codec) -> str:
    """Bytes, seconds to pack, milliseconds to unpack."""
    compress, unpack = codec
    begin = time.process_time()
    packed = [compress(piece) for piece in pieces]
    seconds = time.process_time() - begin
    assert [unpack(piece) for piece in packed] == list(pieces)
    took = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for piece in packed:
            unpack(piece)
        took.append(time.process_time() - begin)
    return f"{sum(map(len, packed)):>12,} {seconds:>9.2f} {min(took) * 1000:>11.0f}"


def main(sources: Sequence[str]) -> None:
    """Prints a table for each source."""
    if not sources:
        sys.exit(__doc__)
    try:
        import zstandard  # noqa: F401
    except ImportError:
        sys.exit("cannot measure: pip install zstandard")
    for source in sources:
        files = read(Path(source))
        print(f"{Path(source).name}: {len(files)} files, {sum(len(data) for _, data in files):,} bytes")
        print(f"{'':<32} {'bytes':>12} {'pack, s':>9} {'unpack, ms':>11}")
        alone = [data for _, data in files]
        for name, codec in (("deflate 6", deflated(6)), ("deflate 9", deflated(9)), ("zstd 19", framed(19))):
            print(f"{f'each by itself, {name}':<32} {measure(alone, codec)}", flush=True)
        for level, most in PACKS:
            pieces = [stored(group) for group in groups(files, most << 20)]
            print(f"{f'{len(pieces)} of {most} MiB, zstd {level}':<32} {measure(pieces, framed(level))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
