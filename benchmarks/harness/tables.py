"""Rows as Markdown tables, and the comparison of two runs with a verdict on every row.

    ratio   = p50(other) / p50(base)                          below 1: the other run is faster
    range   = [p20(other) / p80(base), p80(other) / p20(base)]
    verdict   faster: range below 1 - t;  slower: above 1 + t;  same: within;  else cannot tell

The percentiles of the rounds stand for the uncertainty: rounds of one run are not independent, so
an interval of their median would be far too narrow. Several runs of one side are merged: median of
the medians, least p20, largest p80. t is the tolerance: at least 3 % (one card's products differ by
2 % between runs), and at least the drift of both sides' calibrations on one kind of device.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
KEY = ("operation", "implementation", "shape", "axis", "mode")
TOLERANCE = 0.03
VERSIONS = ("torch", "numpy", "triton", "driver_version", "power.limit")
CONTROLS = ("copy", "float32", "bfloat16")  # ceilings whose change between runs counts as drift


class Run(NamedTuple):
    """One JSON file of pytest-benchmark, or several merged."""

    path: str
    rows: dict[tuple, Row]
    machine: dict[str, Any]


class Comparison(NamedTuple):
    """One row in two runs."""

    key: tuple
    base: float  # median seconds
    other: float
    ratio: float
    low: float
    high: float
    verdict: str


def read(path: str | Path) -> Run:
    """Rows of a file written with --benchmark-json.

    Args:
        path: the file.
    Returns:
        Run; rows by (operation, implementation, shape, axis, mode).
    Raises:
        ValueError: no such file, not such a JSON, or no timed row in it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = [entry["extra_info"] for entry in content["benchmarks"]]
        found = {tuple(row[k] for k in KEY): row for row in rows if "p50" in row}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a file that `python -m pytest benchmarks "
                         f"--benchmark-json` wrote ({type(error).__name__}: {error})") from error
    if not found:
        raise ValueError(f"{path}: no timed row in it")
    return Run(str(path), found, content.get("machine_info", {}))


def merged(runs: Sequence[Run]) -> Run:
    """Repeated runs of one state as one: rows that all have, with the widest range.

    Args:
        runs: one or more; machine and ceilings are those of the first.
    Returns:
        Run.
    """
    if len(runs) == 1:
        return runs[0]
    rows = {}
    for key, row in runs[0].rows.items():
        again = [run.rows[key] for run in runs if key in run.rows]
        if len(again) == len(runs):
            rows[key] = {**row, "p50": statistics.median(r["p50"] for r in again),
                         "p20": min(r["p20"] for r in again), "p80": max(r["p80"] for r in again)}
    return Run(",".join(run.path for run in runs), rows, runs[0].machine)


def report(rows: Sequence[Row]) -> str:
    """Markdown table of rows, timed or only checked; columns that no row has are left out.

    Args:
        rows: as `Measure.run` returns them.
    Returns:
        Lines joined by newlines.
    """
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("operation", _operation), ("shape", lambda r: r["shape"]), ("axis", lambda r: r["axis"]),
        ("mode", lambda r: r["mode"]), ("median", lambda r: _time(r.get("p50"))),
        ("p20 - p80", lambda r: f"{_time(r['p20'])} - {_time(r['p80'])}" if "p20" in r else ""),
        ("GB/s", lambda r: _number(r.get("gb_per_s"))),
        ("TFLOP/s", lambda r: _number(r.get("tflop_per_s")) if r["flops"] else ""),
        ("% roofline", lambda r: _number(r.get("pct_roofline"))),
        ("bound", lambda r: r.get("bound", "")),
        ("peak MB", lambda r: _number(r.get("peak_mem_bytes"), 1e-6)),
        ("launches", lambda r: str(r.get("launches") or "")),
        ("late", lambda r: str(r.get("late") or "")),
        ("MFLOP", lambda r: _number(r["flops"] or None, 1e-6)),
        ("MB", lambda r: _number(r["bytes"], 1e-6)),
        ("error", lambda r: f"{r['error']:.0e}" if "error" in r else "")]
    cells = [[get(row) for _, get in columns] for row in rows]
    kept = [i for i in range(len(columns)) if i < 4 or any(line[i] for line in cells)]
    return grid([columns[i][0] for i in kept], [[line[i] for i in kept] for line in cells])


def header(run: Run) -> str:
    """What a run ran on, and its ceilings, as Markdown lines."""
    m = run.machine
    facts = [m.get("device", "unknown device"), f"{m.get('threads', '?')} threads",
             *(f"{name} {m[name]}" for name in VERSIONS if m.get(name))]
    lines = [f"{run.path}: " + ", ".join(str(f) for f in facts) + "."]
    for device, ceilings in m.get("ceilings", {}).items():
        cells = [_ceiling(name, value) for name, value in ceilings.items()]
        lines.append(f"Ceilings of {device}: " + ", ".join(cells) + ".")
    rates = sorted(r["clock_hz"] / 1e6 for r in run.rows.values() if "clock_hz" in r)
    if rates:
        lines.append(f"Clock before the rows in mode graph: {rates[0]:.0f} to {rates[-1]:.0f} MHz, "
                     f"median {statistics.median(rates):.0f}.")
    return "\n\n".join(lines)


def page(run: Run) -> str:
    """Header and table of a run."""
    return f"{header(run)}\n\n{report(list(run.rows.values()))}"


def compare(base: Run, other: Run, tolerance: float = TOLERANCE) -> list[Comparison]:
    """Rows that both runs have, in the order of the base.

    Args:
        base, other: runs.
        tolerance: least relative difference that counts.
    Returns:
        Comparisons.
    """
    tolerance = max(tolerance, drift(base, other))
    found = []
    for key, a in base.rows.items():
        if key in other.rows:
            b = other.rows[key]
            low, high = b["p20"] / a["p80"], b["p80"] / a["p20"]
            found.append(Comparison(key, a["p50"], b["p50"], b["p50"] / a["p50"], low, high,
                                    verdict(low, high, tolerance)))
    return found


def verdict(low: float, high: float, tolerance: float = TOLERANCE) -> str:
    """faster, slower, same or cannot tell, from the range of the ratio of times."""
    if high < 1 - tolerance:
        return "faster"
    if low > 1 + tolerance:
        return "slower"
    return "same" if low >= 1 - tolerance and high <= 1 + tolerance else "cannot tell"


def drift(base: Run, other: Run) -> float:
    """Largest relative change of the calibrations; 0 between different devices."""
    if base.machine.get("device") != other.machine.get("device"):
        return 0.0
    changes = [0.0]
    for device, ceilings in base.machine.get("ceilings", {}).items():
        again = other.machine.get("ceilings", {}).get(device, {})
        for name in CONTROLS:
            if name in ceilings and name in again:
                pair = sorted((ceilings[name], again[name]))
                changes.append(pair[1] / pair[0] - 1)
    return max(changes)


def comparison(base: Run, other: Run, tolerance: float = TOLERANCE) -> str:
    """Both headers, the table of `compare`, and the rows that only one run has.

    Args:
        base, other: runs.
        tolerance: as `compare`.
    Returns:
        Markdown.
    """
    found = compare(base, other, tolerance)
    cells = [[_operation(base.rows[c.key]), *c.key[2:], _time(c.base), _time(c.other),
              f"{c.ratio:.3f}", f"{c.low:.3f} - {c.high:.3f}", c.verdict,
              *(_number(run.rows[c.key].get("pct_roofline")) for run in (base, other))]
             for c in found]
    titles = ["operation", "shape", "axis", "mode", "base", "other", "ratio", "range",
              "verdict", "base %", "other %"]
    lines = [header(base), header(other),
             f"Differences up to {100 * max(tolerance, drift(base, other)):.0f} % count as none."
             + ("" if "," in base.path and "," in other.path else " With one run on a side, what "
                "differs from run to run is not in its range: repeat before believing a verdict."),
             grid(titles, cells)]
    for run, rest in ((base, other), (other, base)):
        only = [" ".join(key) for key in run.rows if key not in rest.rows]
        if only:
            lines.append(f"Only in {run.path}: " + "; ".join(only) + ".")
    return "\n\n".join(lines)


def grid(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are padded, so that it reads in a terminal too."""
    widths = [max(len(line[i]) for line in [titles, *cells]) for i in range(len(titles))]

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)) + " |"

    return "\n".join([line(titles), "|" + "|".join("-" * (w + 2) for w in widths) + "|",
                      *(line(texts) for texts in cells)])


def _operation(row: Row) -> str:
    plain = row["implementation"] in ("", "ours")
    return row["operation"] if plain else f"{row['operation']} ({row['implementation']})"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 100:
        return f"{seconds:.0f} s"
    unit, scale = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("us", 1e6)
    return f"{seconds * scale:.3g} {unit}"


def _number(value: float | None, scale: float = 1.0) -> str:
    if value is None:
        return ""
    value *= scale
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _ceiling(name: str, value: float) -> str:
    if name.startswith("launch"):
        return f"{name} {_time(value)}"
    if name == "copy":
        return f"copy {value / 1e9:.3g} GB/s"
    return f"exp {value / 1e9:.3g} G/s" if name == "exp" else f"{name} {value / 1e12:.3g} TFLOP/s"
