"""The program of a helper interpreter: it compiles what it is sent, until its input ends.

It is never imported: the extension holds its text and starts `python -I -S -W error -c` with it. A source that warns or
fails is sent back uncompiled, so that the importing interpreter warns or fails as it would without a helper.
"""

import gc
import marshal
import sys


def answer(*parts: bytes) -> None:
    """Sends each part behind its length."""
    for part in parts:
        sys.stdout.buffer.write(len(part).to_bytes(4, "little") + part)
    sys.stdout.buffer.flush()


def serve(level: int) -> None:
    """Compiles at an optimisation level."""
    try:
        from _signal import alarm  # type: ignore[import-not-found]
    except ImportError:

        def alarm(seconds: int, /) -> int:
            return 0

    gc.disable()
    read = sys.stdin.buffer.read
    probe = compile("first.second(third)", "", "exec", dont_inherit=True, optimize=level)
    answer(probe.co_code + probe.co_linetable)
    # Nobody needs a helper that was not asked for half a minute, whoever still holds its input.
    while alarm(30) is not None and len(head := read(8)) == 8:
        path = read(int.from_bytes(head[:4], "little"))
        source = read(int.from_bytes(head[4:], "little"))
        try:
            code = compile(source, path, "exec", dont_inherit=True, optimize=level)
            answer(marshal.dumps(code), "\n".join(code.co_names).encode())
        except Exception:
            answer(b"", b"")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
