"""What keeps the cache sound and small: `verify`, `prune`, `seal`, `cache`."""

import argparse
import os
import time

from magic_module import _native
from magic_module._py.cli import ahead
from magic_module._py.cli.answer import Answer, count, fields, table
from magic_module._py.cli.mounting import provide
from magic_module._py.progress import size

REPORT_FIELDS = ("ok", "units", "files", "bytes", "problems", "removed")


def verify(options: argparse.Namespace) -> Answer:
    """What is damaged is healed, or named."""
    provide(options, options.names, needed=False)
    report = _native.verify(*options.names)
    checked = f"{count(report.units, 'unit')}, {count(report.files, 'file')}, {size(report.bytes)}"
    state = "no damage" if not report.problems else "healed" if report.ok else "damaged"
    return Answer(fields(report, REPORT_FIELDS), [*report.problems, f"{checked}: {state}"], 0 if report.ok else 1)


def prune(options: argparse.Namespace) -> Answer:
    """What nothing needs is removed."""
    provide(options, needed=False)
    if options.keep_trace is not None:
        ahead.keep(options)
    report = _native.prune(limit=options.limit)
    line = f"{size(report.bytes)} freed, {count(len(report.removed), 'entry', 'entries')} removed"
    return Answer(fields(report, REPORT_FIELDS), [*report.problems, line], 0 if report.ok else 1)


def seal(options: argparse.Namespace) -> Answer:
    """A cache is closed for good, compared with its seal, or opened again."""
    directory = None if options.directory is None else os.path.abspath(options.directory)
    if options.undo:
        directory, was_sealed = _native._unseal(directory)
        line = "can be written to again" if was_sealed else "was not sealed"
        data = {"directory": directory, "sealed": False, "before": was_sealed, "digest": None, "files": 0, "bytes": 0}
        return Answer(data, [f"{directory} {line}"])
    sealed = _native._seal(directory)
    what = f"{count(sealed['files'], 'file')}, {size(sealed['bytes'])}, sha256 {sealed['digest']}"
    state = "is sealed and whole" if sealed["before"] else "is sealed"
    return Answer({**sealed, "sealed": True}, [f"{sealed['directory']} {state}: {what}"])


def cache(options: argparse.Namespace) -> Answer:
    """Where the cache is and what is in it."""
    provide(options, needed=False)
    usage = _native._cache_usage()
    limit = usage["limit"]
    rows = [
        ("directory", str(usage["directory"])),
        *(("behind it", behind) for behind in usage["behind"]),
        ("size", size(usage["bytes"]) + (f" of {size(limit)}" if limit else "")),
        ("blobs", str(usage["blobs"])),
        ("trees", str(usage["trees"])),
        ("mounts", str(len(usage["mounts"]))),
    ]
    mounts = [
        (
            "(unknown)" if entry["namespace"] is None else entry["namespace"] or "(top level)",
            "" if entry["changed"] is None else time.strftime("%Y-%m-%d", time.gmtime(entry["changed"])),
            entry["manifest_url"] or entry["lock"] or "",
            entry["directory"],
        )
        for entry in usage["mounts"]
    ]
    return Answer(dict(usage), table(rows) + [f"  {line}" for line in table(mounts)])
