"""`Run`: how a script ended."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """How a script ended that ran in a process of its own.

    Attributes:
        script: what ran, as it was given.
        status: its exit status; None where a signal ended it.
        signal: the number of that signal.
        limit: what ended the run before the script did: `timeout`, `memory`, `cpu` or `processes`.
        stdout: what it wrote; the middle is left out where that was too much.
        stderr: the same of its errors.
        left_out: bytes of its output that are not here.
        seconds: from its start to the end of all its processes.
        cpu: seconds of the processor, of all its processes.
        peak_memory: bytes that were resident at a time, as far as anybody looked.
        imported: the units that it imported: `name`, `version`.
        downloaded: what it needed that was not here: `bytes`, `seconds`, and `units` with `name` and `bytes`.
        refused: what it may not fetch: `name`, `type` of the error, `message`.
        enforced: for each limit what enforced it, or why nothing did.
    """

    script: str
    status: int | None
    signal: int | None
    limit: str | None
    stdout: str
    stderr: str
    left_out: int
    seconds: float
    cpu: float
    peak_memory: int
    imported: list[dict[str, Any]]
    downloaded: dict[str, Any]
    refused: list[dict[str, Any]]
    enforced: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether the script itself ended, with status 0."""
        return self.status == 0 and self.limit is None

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"ok": self.ok, **asdict(self)}
