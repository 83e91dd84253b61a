"""Tables of benchmark runs: reading, reporting, comparing, and the commands that print them."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.harness import tables
from tests.support.helpers import assert_close, assert_equal


def row(name: str, p50: float, spread: float = 0.001, **other) -> dict:
    """A timed row of the JSON."""
    return {"operation": name, "implementation": "ours", "shape": "B8", "axis": "forward",
            "mode": "host", "flops": 1e9, "bytes": 1e6, "p20": p50 * (1 - spread),
            "p50": p50, "p80": p50 * (1 + spread),
            "gb_per_s": 1.0, "tflop_per_s": 0.5, "pct_roofline": 42.0, "bound": "memory",
            "peak_mem_bytes": None, "error": 1e-7, **other}


def saved(path, *entries: dict, device: str = "card", copy_rate: float = 100.0) -> str:
    """A file as pytest-benchmark writes it."""
    machine = {"device": device, "threads": 1, "torch": "2", "numpy": "2",
               "ceilings": {"cuda:0": {"copy": copy_rate, "float32": 1e12, "launch graph": 2e-6}}}
    path.write_text(json.dumps({"machine_info": machine, "benchmarks": [
        {"extra_info": entry, "stats": {"median": entry.get("p50")}} for entry in entries]}))
    return str(path)


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


def test_report_and_compare_commands(tmp_path, capsys):
    a = saved(tmp_path / "a", row("p", 1.5e-3), row("q", 2e-6, implementation="scipy"),
              row("r", 12.0, flops=0))
    b = saved(tmp_path / "b", row("p", 1.5e-3))
    assert main(["report", a]) == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("|")]
    assert_equal("rows", len(lines), 5)
    assert len({line.count("|") for line in lines}) == 1 and len({len(x) for x in lines}) == 1
    for text, line in (("1.5 ms", lines[2]), ("q (scipy)", lines[3]), ("2 us", lines[3]),
                       ("12 s", lines[4]), ("42", lines[4])):
        assert text in line, (text, line)
    assert main(["compare", f"{a},{a}", b]) == 0
    capsys.readouterr()
    assert main(["compare", a, b]) == 0
    printed = capsys.readouterr().out
    assert "| same" in printed and f"Only in {a}: q scipy" in printed
    assert "base % | other % |" in printed, printed


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


def test_commands_refuse_what_they_cannot_read(tmp_path, capsys):
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.write_text('{"benchmarks": []}')
    other.write_text("[1]")
    for path, why in ((empty, "no timed row"), (other, "not a file"),
                      (tmp_path / "absent", "not a file")):
        assert_equal("status", main(["report", str(path)]), 2)
        error = capsys.readouterr().err
        assert why in error and error.count("\n") == 1, error
    assert_equal("status", main(["compare", "--tolerance", "-1", str(empty), str(empty)]), 2)
