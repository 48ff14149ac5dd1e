"""Frames of Zstandard by a library that is not ours: Python's own since 3.14, before that `zstandard`.

framed(data)       one frame
unframed(frame)    what is in one whole frame; nothing, if that is not what it is
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd

    def framed(data: bytes) -> bytes:
        return zstd.compress(data, 1)

    def unframed(frame: bytes) -> bytes:
        decoder = zstd.ZstdDecompressor()
        try:
            data = decoder.decompress(frame)
        except zstd.ZstdError:
            return b""
        return data if decoder.eof and not decoder.unused_data else b""

else:
    import zstandard

    def framed(data: bytes) -> bytes:
        return zstandard.ZstdCompressor(level=1).compress(data)

    def unframed(frame: bytes) -> bytes:
        decoder = zstandard.ZstdDecompressor().decompressobj()
        try:
            data = decoder.decompress(frame)
        except zstandard.ZstdError:
            return b""
        return data if decoder.eof and not decoder.unused_data else b""
