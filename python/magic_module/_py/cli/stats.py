"""`stats`: what the audit log and the cache tell whoever looks after an installation."""

import argparse
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._py.cli.answer import Answer, WrongUsage, count, table
from magic_module._py.progress import size

SHOWN = 10
"""Rows of each table for people; `--json` has all."""

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def stats(options: argparse.Namespace) -> Answer:
    """Most requested, refused, failed; what takes the space, and what nobody used."""
    begin = None if options.since is None else time.time() - _seconds(options.since)
    folder, files = _native._journal()
    lines, damaged = _read(files, begin)
    requested = _counted(line for line in lines if line["decision"] in ("allowed", "refused"))
    refused = _counted(line for line in lines if line["decision"] == "refused")
    failed = _counted(line for line in lines if line["decision"] == "failed")
    space = sorted(_native._kept(), key=lambda kept: (-kept["bytes"], kept["name"]))
    limit = time.time() - options.unused_for * 86400
    unused = [kept for kept in space if kept["used"] is not None and kept["used"] < limit]
    data = {
        "since": None if begin is None else _day(begin, whole=True),
        "journal": folder,
        "decisions": len(lines),
        "damaged": damaged,
        "requested": requested,
        "refused": refused,
        "failed": failed,
        "space": space,
        "unused_for": options.unused_for,
        "unused": unused,
    }
    return Answer(data, list(_told(data)))


def _told(data: dict[str, Any]) -> Iterator[str]:
    since = f" since {data['since'][:10]}" if data["since"] else ""
    yield f"{count(data['decisions'], 'decision')}{since}, in {data['journal'] or 'no folder'}"
    if data["damaged"]:
        yield f"{count(data['damaged'], 'line')} of the audit log cannot be read"
    for title, key in (("most requested", "requested"), ("refused", "refused"), ("failed", "failed")):
        rows = [(each["name"], str(each["times"]), each["last"][:10], each["why"]) for each in data[key]]
        yield from _section(title, rows, (1,))
    for title, key in (
        ("what takes the space", "space"),
        (f"not used for {count(data['unused_for'], 'day')}", "unused"),
    ):
        rows = [
            (each["name"], each["version"], size(each["bytes"]), "" if each["used"] is None else _day(each["used"]))
            for each in data[key]
        ]
        yield from _section(title, rows, (2,))


def _section(title: str, rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> Iterator[str]:
    if rows:
        more = f" ({SHOWN} of {len(rows)})" if len(rows) > SHOWN else ""
        yield f"{title}{more}:"
        yield from (f"  {line}" for line in table(rows[:SHOWN], right))


def _read(files: Iterable[str], begin: float | None) -> tuple[list[dict[str, Any]], int]:
    """The lines since then, and how many cannot be read: the file is its owner's, who may have edited it."""
    lines, damaged = [], 0
    for file in files:
        with Path(file).open("rb") as journal:
            for text in journal:
                if not text.strip():
                    continue
                line = _parsed(text)
                if line is None:
                    damaged += 1
                elif begin is None or line["at"] >= begin:
                    lines.append(line)
    return lines, damaged


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
        at = datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    fields = ("decision", "distribution", "import", "rule", "error", "time")
    known = {name: value if isinstance(value := line.get(name), str) else "" for name in fields}
    return {**known, "at": at}


def _counted(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """By distribution, or by what was imported where nobody knows one; the most frequent first."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        name = line["distribution"] or line["import"]
        each = found.setdefault(name, {"name": name, "times": 0, "last": "", "why": ""})
        each["times"] += 1
        if line["time"] >= each["last"]:
            each["last"] = line["time"]
            each["why"] = line["error"] or line["rule"]
    return sorted(found.values(), key=lambda each: (-each["times"], each["name"]))


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if found is None:
        raise WrongUsage(f"{text} is not a time such as 7d, 12h, 30m or 2w")
    return int(found[1]) * UNITS[found[2]]


def _day(at: float, whole: bool = False) -> str:
    moment = datetime.fromtimestamp(at, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if whole else "%Y-%m-%d")
