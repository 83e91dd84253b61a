"""Tables of benchmark runs: reading, reporting, comparing."""

from __future__ import annotations

import pytest

from benchmarks.harness import tables
from tests.support.benchmarking import row, saved
from tests.support.helpers import assert_close, assert_equal


@pytest.mark.parametrize("low, high, verdict", [
    (0.80, 0.90, "faster"), (1.10, 1.20, "slower"), (0.98, 1.02, "same"),
    (0.90, 1.02, "cannot tell"), (0.98, 1.10, "cannot tell"), (0.5, 2.0, "cannot tell"),
    (0.90, 0.971, "cannot tell")])
def test_verdict(low, high, verdict):
    assert_equal("verdict", tables.verdict(low, high, 0.03), verdict)


def test_compare(tmp_path):
    base = tables.read(saved(tmp_path / "a", row("p", 1.0), row("q", 1.0), row("r", 1.0),
                             row("s", 1.0, 0.5), row("only", 1.0)))
    other = tables.read(saved(tmp_path / "b", row("p", 0.5), row("q", 2.0), row("r", 1.001),
                              row("s", 0.8), row("new", 1.0)))
    found = tables.compare(base, other)
    assert_equal("verdicts", " / ".join(c.verdict for c in found),
                 "faster / slower / same / cannot tell")
    assert_close("ratio", [c.ratio for c in found], [0.5, 2.0, 1.001, 0.8], rtol=1e-12)
    assert_close("range", [found[0].low, found[0].high], [0.4995 / 1.001, 0.5005 / 0.999],
                 rtol=1e-9)


def test_compare_allows_for_drift_of_the_same_device(tmp_path):
    base = tables.read(saved(tmp_path / "a", row("p", 1.0)))
    slow = tables.read(saved(tmp_path / "b", row("p", 1.1), copy_rate=80.0))
    card = tables.read(saved(tmp_path / "c", row("p", 1.1), copy_rate=80.0, device="other card"))
    assert_close("drift", [tables.drift(base, slow), tables.drift(base, card)], [0.25, 0.0])
    assert_equal("verdict", tables.compare(base, slow)[0].verdict, "same")
    assert_equal("verdict", tables.compare(base, card)[0].verdict, "slower")


def test_repeated_runs_widen_the_range(tmp_path):
    runs = [tables.read(saved(tmp_path / str(i), row("p", p50), *rest))
            for i, (p50, rest) in enumerate([(1.0, [row("q", 1.0)]), (1.5, []), (1.2, [])])]
    both = tables.merged(runs)
    assert_equal("rows that all have", len(both.rows), 1)
    (got,) = both.rows.values()
    assert_close("merged", [got["p20"], got["p50"], got["p80"]], [0.999, 1.2, 1.5015], rtol=1e-12)
    other = tables.read(saved(tmp_path / "other", row("p", 1.1)))
    assert_equal("verdict", tables.compare(both, other)[0].verdict, "cannot tell")
    assert_equal("verdict", tables.compare(runs[0], other)[0].verdict, "slower")


def test_compare_shows_how_far_each_side_is_from_its_own_roofline(tmp_path):
    runs = [tables.read(saved(tmp_path / name, row("p", 1.0, pct_roofline=percent), device=name))
            for name, percent in (("a", 81.4), ("b", 7.25))]
    assert tables.comparison(*runs).splitlines()[-1].endswith("| 81.4   | 7.25    |")


def test_report_tells_late_rounds_and_clock_rates(tmp_path):
    clocks = [row("p", 1.0, late=3, clock_hz=1.98e9), row("q", 1.0, late=0, clock_hz=1.4e9),
              row("r", 1.0, late=0, clock_hz=1.9e9), row("s", 1.0)]
    run = tables.read(saved(tmp_path / "a", *clocks))
    assert "Clock before the rows in mode graph: 1400 to 1980 MHz, median 1900." in (
        tables.header(run))
    titles, _, *lines = tables.report(list(run.rows.values())).splitlines()
    column = [t.strip() for t in titles.split("|")].index("late")
    assert_equal("late", " ".join(x.split("|")[column].strip() for x in lines).split(), ["3"])
    plain = tables.read(saved(tmp_path / "b", row("p", 1.0, late=0)))
    assert "MHz" not in tables.header(plain)
    assert "late" not in tables.report(list(plain.rows.values())).splitlines()[0]
