"""`Run`: how a script ended."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """How a script ended: the result of `run()`.

    Attributes:
        script: what ran, as it was given.
        status: its exit status; None if a signal ended it.
        signal: the number of that signal.
        limit: the limit that ended the run: `timeout`, `memory`, `cpu` or `processes`; else None.
        stdout: what it wrote; if that was too much, without the middle.
        stderr: the same for its errors.
        left_out: how many bytes of its output are left out.
        seconds: from its start to the end of all its processes.
        cpu: processor seconds of all its processes.
        peak_memory: the largest resident memory, in bytes, that was measured.
        imported: the units that it imported: `name`, `version`.
        downloaded: what had to be fetched for it: `bytes`, `seconds`, and `units` with `name` and `bytes`.
        refused: what it was not allowed to fetch: `name`, `type` of the error, `message`.
        enforced: what enforced each limit, or why nothing did.
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
