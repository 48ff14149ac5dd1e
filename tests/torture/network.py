"""Network schedules, end to end: a first import from a server whose answers fail in a random sequence.

Every unit is right or a structured error, and the next run, from a good server, has the right bytes. The fetcher alone
is put to a thousand schedules with shorter patience by the Rust tests (`schedules`).
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import trials
from child import Child, Wrong, judge
from sites import Site, right_answers

sys.path.append(str(Path(__file__).resolve().parent.parent))

from origins import Fault, Origin, Reply, faults

ERRORS = ("FetchError", "IntegrityError", "ManifestError", "PolicyError")

#: What may happen to any answer.
ANYWHERE: tuple[Fault, ...] = (
    faults.not_found,
    faults.gone,
    faults.forbidden,
    faults.server_error,
    faults.unavailable,
    faults.too_many_requests,
    faults.empty_body,
    faults.truncated,
    faults.reset_in_the_middle,
    faults.reset_at_once,
    faults.stalled_body,
    faults.redirect_loop,
    faults.redirect_chain,
    faults.redirect_to_file,
    faults.redirect_to_nowhere,
    faults.redirect_to_plain_http,
    faults.compressed_bomb,
)

#: What only pinned bytes are safe from: an unsigned manifest is believed as far as it can be read.
ARTIFACTS: tuple[Fault, ...] = (
    faults.truncated_in_silence,
    faults.endless_body,
    faults.one_byte_more,
    faults.wrong_bytes,
    faults.wrong_length,
    faults.wrong_range,
    faults.html_instead_of_json,
)

#: In the manifest's place.
MANIFEST: tuple[Fault, ...] = (
    faults.html_instead_of_json,
    faults.gigantic_manifest,
    faults.gigantic_manifest_unannounced,
    faults.deeply_nested,
    faults.not_utf_8,
)


def schedule(seed: int) -> Fault:
    """One fault that is another one for each request, and none from some request on."""
    chooser = random.Random(seed)
    # More than the attempts that a download has would fail every time.
    answers: Iterator[bool] = itertools.chain([chooser.random() < 0.7 for _ in range(chooser.randrange(1, 12))])

    def answer(reply: Reply) -> None:
        if not next(answers, False):
            reply.well()
            return
        more = MANIFEST if reply.request.path.endswith("manifest.json") else ARTIFACTS
        chooser.choice((*ANYWHERE, *more))(reply)

    return answer


def run(folder: Path, count: int, seed: int, jobs: int) -> trials.Figures:
    figures = trials.Figures("network schedules", count)
    child = Child(folder / "home")
    right = right_answers(folder, child)
    # Half of them without packs: more requests, each of which may fail.
    sites = [Site(folder / str(packs), packs) for packs in (True, False)]
    for site in sites:
        site.show(1)

    def trial(number: int) -> str:
        cache = folder / f"trial-{number}"
        with Origin(sites[number % 2].folder, {"*": schedule(number)}) as origin:
            (report,) = told(child.run(cache, origin.manifest_url, "report").answers)
            failed = judge(report, right, ["1.0"], errors=ERRORS)
            origin.heal()
            (report,) = child.run(cache, origin.manifest_url, "report").answers
            judge(report, right, ["1.0"])
        if left := [path.name for path in (cache / "v1" / "tmp").glob("*")]:
            raise Wrong(f"parts are left: {left}")
        trials.remove(cache)
        return "failed with a sentence" if failed else "right at once"

    trials.run(figures, range(seed * 1_000_000, seed * 1_000_000 + count), trial, jobs)
    return figures


def told(answers: list[dict[str, object]]) -> list[dict[str, dict[str, str]]]:
    """An error of the mount is one of every unit."""
    return [entry if "error" not in entry else {"mount": entry} for entry in answers]  # type: ignore[misc, dict-item]
