"""The harness of `make bench` says what it could not measure, and never makes up a cell."""

import dataclasses
import hashlib
import shutil
import sys
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture(autouse=True)
def benches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHES))
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHES)):
            del sys.modules[name]


def results(**seconds: Any) -> dict[str, Any]:
    from measure import Failure, Side
    from ways import PEERS

    absent = dict.fromkeys(PEERS, Failure("pooch is not installed: no network"))
    return absent | {name: Side(values) for name, values in seconds.items()}


def test_a_missing_peer_is_a_cell_that_says_why() -> None:
    from jobs import cells

    got = results(ours=[1.0, 1.0, 1.0], uv=[2.0, 2.0, 2.0])
    assert cells.cell(got, "pooch") == "pooch is not installed: no network"
    assert cells.cell(got, "uv") == "2.00 s (2.0×)"


def test_the_fastest_peer_is_the_one_that_counts() -> None:
    from jobs import cells

    row = cells.judged(cells.row("cold"), results(ours=[1.0] * 3, uv=[2.0] * 3, pip=[0.5] * 3))
    assert row.against == "the fastest peer: pip"
    assert (row.got, row.outcome) == ("2.00×", "missed")
    assert any(note.startswith("pooch: pooch is not installed") for note in row.notes)


def test_without_any_peer_nothing_is_measured_and_nothing_reached() -> None:
    import report
    from jobs import cells

    row = cells.judged(cells.row("cold"), results(ours=[1.0] * 3))
    assert (row.ours, row.theirs, row.got, row.outcome) == ("-", "-", "no peer could do it", "not measured")
    assert report.summary([row]) == "0 targets reached, 0 missed, 1 not measured."


def test_who_cannot_take_part_is_out_and_the_others_go_on() -> None:
    from measure import Ended, Failure, Side, contest

    def broken() -> Ended:
        raise Failure("no curl")

    got = contest(3, {"ours": lambda: Ended(1.0, 1.0, b""), "curl": broken})
    assert isinstance(got["ours"], Side) and got["ours"].values == [1.0] * 3
    assert isinstance(got["curl"], Failure) and str(got["curl"]) == "no curl"


def test_who_is_slow_takes_part_in_the_first_rounds() -> None:
    from measure import Ended, Side, contest

    got = contest(9, {"ours": lambda: Ended(1.0, 1.0, b""), "slow": lambda: Ended(5.0, 1.0, b"")})
    counts = [len(side.values) for side in got.values() if isinstance(side, Side)]
    assert counts == [9, 3]


def test_one_round_goes_ahead_unless_it_is_not_wanted() -> None:
    from measure import Ended, Side, contest

    seconds = iter([9.0, 1.0, 2.0])
    for ahead, expected in ((True, [1.0]), (False, [2.0])):
        (side,) = contest(1, {"ours": lambda: Ended(next(seconds), 0.0, b"")}, ahead).values()
        assert isinstance(side, Side) and side.values == expected


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "0.50×"), (0.601, "0.601×"), (0.6, "0.60×"), (0.60004, "0.60004×"), (0.611, "0.61×")]
)
def test_a_ratio_shows_on_which_side_of_its_target_it_is(value: float, shown: str) -> None:
    from measure import times

    assert times(value, 0.6) == shown


def test_a_busy_machine_is_said_and_two_values_have_no_spread() -> None:
    import report
    from measure import Row, Side, milliseconds

    steady, wild = Side([1.0, 1.0, 1.0]), Side([1.0, 2.0, 9.0])
    row = Row("a job", "a peer", "≤ 1").compared(wild, steady, 3.0, milliseconds)
    assert row.outcome == "reached (busy machine)"
    few = Row("a job", "a peer", "≤ 1").compared(Side([1.0, 9.0]), Side([1.0, 1.0]), 9.0, milliseconds)
    assert few.spread is None and report.cells_of(few)[4] == "-"


def test_what_was_measured_on_a_busy_machine_is_counted_apart() -> None:
    import report
    from measure import Row

    row = Row("a job", "a peer", "≤ 1")
    rows = [row.judged("1", True), row.judged("2", False)]
    rows += [dataclasses.replace(row.judged("1", reached), spread=0.5) for reached in (True, True, False)]
    expected = "1 targets reached, 1 missed, 2 reached on a busy machine, 1 missed on a busy machine, 1 not measured."
    assert report.summary([*rows, row.not_measured("no curl")]) == expected


def test_a_row_without_a_target_tells_and_is_not_counted() -> None:
    import report
    from measure import NO_TARGET, Row, Side

    row = Row("a job", "a peer", NO_TARGET)
    told = row.told(Side([2.0, 2.0, 2.0]), Side([1.0, 1.0, 1.0]))
    assert (told.ours, told.theirs, told.got, told.outcome) == ("2.00 s", "1.00 s", "2.00×", "told")
    assert row.not_measured("no pip").outcome == "not measured"
    assert report.summary([told]) == "0 targets reached, 0 missed."


def test_a_quick_run_remembers_of_what_it_had_less(tmp_path: Path) -> None:
    from workplace import Workplace

    quick, full = Workplace(True, tmp_path), Workplace(False, tmp_path)
    assert [each.size("files", 2000, 10) for each in (quick, quick, full)] == [10, 10, 2000]
    assert quick.smaller == ["10 files (full: 2,000)"] and not full.smaller


def test_the_document_holds_every_row_and_table() -> None:
    import report
    from measure import Row, Table

    row = Row("a | job", "a peer", "≤ 1").not_measured("no curl")
    table = Table("Side by side", ["", "ours"], [["2 files", "1 ms"]], "How.")
    text = report.as_markdown([row], [table], [], {"date": "today"}, ["3 files (full: 9)"])
    assert "| a \\| job | a peer | - | - | - | no curl | ≤ 1 | not measured |" in text
    assert "## Side by side\n\nHow.\n\n|  | ours |\n|---|---|\n| 2 files | 1 ms |" in text
    assert "This was a quick run: few pairs; of other sizes are 3 files (full: 9)." in text
    assert "quick run:" not in report.as_markdown([row], [table], [], {"date": "today"}, None)


def test_every_peer_has_pinned_versions() -> None:
    import peers
    from ways import PEERS

    assert tuple(peers.pinned()) == PEERS
    assert all("==" in word for line in peers.pinned().values() for word in line.split())


def test_a_peer_that_pip_cannot_install_is_a_failure_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peers
    from measure import Failure

    monkeypatch.setattr(peers, "HOME", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Failure, match=r"^uv is not installed: .*uv==") as caught:
        peers.command("uv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("job", ["cold", "large", "site", "transfers"])
def test_without_curl_the_job_is_a_row_that_says_so(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench
    from workplace import Workplace

    monkeypatch.setattr(shutil, "which", lambda name: None)
    workplace = Workplace(True, tmp_path)
    workplace.place = tmp_path
    (row,) = bench.measured(job, workplace)
    assert (row.got, row.outcome, row.ours) == ("no curl", "not measured", "-")


def test_without_curl_its_cells_say_so_and_its_row_is_not_measured() -> None:
    from jobs import cells
    from measure import Failure, Side
    from ways import CURLS

    got = results(ours=[1.0] * 3) | {name: Failure("no curl") for name in (*CURLS, cells.FLOOR)}
    row = cells.judged(cells.row("cold", "the quicker of two", "< 1×"), got, CURLS, cells.floor(got))
    assert (row.outcome, row.notes) == ("not measured", ["curl: no curl", "curl of one zip: no curl"])
    assert cells.cell(got, "curl") == "no curl"
    floorless = got | {"curl": Side([2.0] * 3)}
    assert cells.floor(floorless) == []
    assert cells.floor(floorless | {cells.FLOOR: Side([1.0] * 3)}) == [f"floor, {cells.FLOOR}: 1.00 s, 0.50×"]


def test_of_two_ways_the_quicker_one_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from measure import Ended, Failure
    from ways import CURLS, PEERS, Ways

    def fails() -> Ended:
        raise Failure("cannot")

    takes = {"archive": lambda: Ended(3.0, 0.0, b""), "folder": lambda: Ended(1.0, 0.0, b""), "neither": fails}
    ways = Ways.__new__(Ways)
    monkeypatch.setattr(ways, "_ways_of", lambda peer: takes if peer == "pooch" else {"neither": fails})
    assert ways.chosen() == {"pooch": "folder"}
    everybody = ways.all({"pooch": "folder"})
    assert tuple(everybody) == ("ours", *PEERS, *CURLS)
    assert everybody["pooch"] is takes["folder"]


def test_scripts_that_say_something_else_reach_no_target() -> None:
    from jobs import uses
    from measure import Row

    def done(output: str, size: int) -> uses.Done:  # type: ignore[name-defined]
        return uses.Done(0, output, size, 0)

    empty = Row("scripts", "from whole wheels", "≤ 0.6×")
    theirs = [done("1", 100), done("2", 100), done("3", 100)]
    ours = [done("1", 10), done("2", 50), done("3", 90)]
    row = uses.compared(empty, ["first", "second", "third"], ours, theirs, 0.6)
    assert (row.got, row.outcome) == ("0.50×", "reached")
    assert uses.compared(empty, ["first", "second", "third"], ours, theirs, 0.4).outcome == "missed"
    ours[0] = done("4", 10)
    row = uses.compared(empty, ["first", "second", "third"], ours, theirs, 0.6)
    assert row.outcome == "missed" and "another output: first" in row.notes


@pytest.mark.parametrize(("requests", "put", "outcome"), [(3, 0, "reached"), (4, 0, "missed"), (2, 1, "missed")])
def test_publishing_again_may_put_nothing_and_ask_three_times(requests: int, put: int, outcome: str) -> None:
    from jobs import publishing

    first, signed = publishing.Published(9.0, 500, 1 << 30), publishing.Published(1.0, 4, 0)
    row = publishing.judged(166, first, publishing.Published(1.0, requests, put), signed)
    assert row.outcome == outcome and "signed, nothing new: 4 requests, 0 B put" in row.notes


def test_a_crowd_that_never_ends_is_given_up(tmp_path: Path) -> None:
    from jobs import crowd
    from measure import Failure

    hangs = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]
    with pytest.raises(Failure, match=r"^given up after 1 s$"):
        crowd.at_once([(hangs, {})] * 2, 1.0)


def test_a_plot_is_xml_with_each_point_where_it_belongs() -> None:
    import plot

    curves = {"ours & <others>": [(1.0, 0.0), (100.0, 5.0), (10000.0, 10.0)], "theirs": [(1.0, 10.0)]}
    drawn = plot.Plot("name", "Title & <more>", "modules", "seconds", curves, linear=True).svg()
    root = Xml.fromstring(drawn)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Title & <more>", "ours & <others>", "theirs", "modules", "seconds", "10k"} <= set(words)
    circles = [element.attrib for element in root.iter("{http://www.w3.org/2000/svg}circle")]
    left, right = plot.LEFT, plot.WIDTH - plot.RIGHT
    top, bottom = plot.TOP, plot.HEIGHT - plot.BOTTOM
    expected = [(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top), (left, top)]
    assert [(float(circle["cx"]), float(circle["cy"])) for circle in circles] == expected
    assert circles[0]["fill"] == circles[2]["fill"] != circles[3]["fill"]


def test_a_plot_with_logarithmic_values_leaves_nothing_out_but_what_has_no_logarithm() -> None:
    import plot

    drawn = plot.Plot("name", "title", "x", "y", {"ours": [(1.0, 0.0), (1.0, 0.1), (10.0, 1.0), (10.0, 10.0)]}).svg()
    circles = [element.attrib for element in Xml.fromstring(drawn).iter("{http://www.w3.org/2000/svg}circle")]
    heights = [float(circle["cy"]) for circle in circles]
    assert heights == [plot.HEIGHT - plot.BOTTOM, (plot.TOP + plot.HEIGHT - plot.BOTTOM) / 2, plot.TOP]
    assert plot.Plot("name", "title", "x", "y", {"ours": []}).svg() == ""


def test_only_the_release_wheel_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import machine
    import magic_module
    from measure import Failure

    def refused() -> str:
        with pytest.raises(Failure) as caught:
            machine.require_release_wheel(tmp_path)
        return str(caught.value)

    home = tmp_path / "environment"
    (home / "magic_module").mkdir(parents=True)
    (tmp_path / "dist").mkdir()
    monkeypatch.setattr(sys, "prefix", str(home))
    monkeypatch.setattr(magic_module, "__file__", str(tmp_path / "python" / "magic_module" / "__init__.py"))
    assert refused().startswith(f"magic_module comes from {tmp_path / 'python' / 'magic_module'}, not from the wheel")
    monkeypatch.setattr(magic_module, "__file__", str(home / "magic_module" / "__init__.py"))
    assert refused().startswith("the release wheel is not installed here")
    wheel = tmp_path / "dist" / "magic_module-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    assert refused().startswith("the release wheel is not installed here")
    (home / ".wheel").write_text(hashlib.sha256(b"another").hexdigest())
    assert refused().startswith("another wheel than the one in dist/ is installed here")
    (home / ".wheel").write_text(hashlib.sha256(b"wheel").hexdigest())
    machine.require_release_wheel(tmp_path)
    (tmp_path / "dist" / "second.whl").write_bytes(b"wheel")
    assert refused().startswith("the release wheel is not installed here")
