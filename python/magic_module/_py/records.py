"""Progress in the shape that pages show: `{module, bytes_downloaded, total_bytes, percentage}`."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["record", "total"]


def record(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """An event as a record of progress.

    Args:
        event: as `events()` and `on_event()` tell it.

    Returns:
        `module`, `bytes_downloaded`, `total_bytes` and `percentage`; None for an event that is not part of a download.

    Example:
        >>> mm.progress.record(event)
        {'module': 'acme.heavy', 'bytes_downloaded': 512, 'total_bytes': 2048, 'percentage': 25.0}
    """
    if event["event"] != "fetch":
        return None
    return _record(event["unit"], event["bytes"], event["total"])


def total(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The progress of several modules together.

    Args:
        records: the latest record of each module.

    Returns:
        A record of the same shape, whose `module` names all of them.

    Example:
        >>> latest = {}
        >>> async for event in mm.events():
        ...     if found := mm.progress.record(event):
        ...         latest[found["module"]] = found
        ...         await page.send(mm.progress.total(latest.values()))
    """
    known = list(records)
    names = ", ".join(str(each["module"]) for each in known)
    return _record(names, sum(each["bytes_downloaded"] for each in known), sum(each["total_bytes"] for each in known))


def _record(module: str, arrived: int, expected: int) -> dict[str, Any]:
    percentage = arrived * 100.0 / expected if expected else 100.0
    return {"module": module, "bytes_downloaded": arrived, "total_bytes": expected, "percentage": percentage}
