"""The harness of `make bench` says what it could not measure, and never makes up a cell."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


def test_the_document_holds_every_row_and_table() -> None:
    import report
    from measure import Row, Table

    row = Row("a | job", "a peer", "≤ 1").not_measured("no curl")
    table = Table("Side by side", ["", "ours"], [["2 files", "1 ms"]], "How.")
    text = report.as_markdown([row], [table], [], {"date": "today"}, quick=True)
    assert "| a \\| job | a peer | - | - | - | no curl | ≤ 1 | not measured |" in text
    assert "## Side by side\n\nHow.\n\n|  | ours |\n|---|---|\n| 2 files | 1 ms |" in text
    assert "This was a quick run" in text


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
