"""Plots of a finished run: every row under the roofline, and times against the size of the batch.

    roofline   FLOP/s of a row over its FLOP per byte; the roof is min(rate, copy x FLOP per byte)
    scaling    median time over the number that ends a shape's name, one line an implementation

matplotlib is optional (extra `figures`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from benchmarks.harness.roofline import PRECISIONS
from benchmarks.harness.tables import Row, Run
from reference.atomic import replacing


def draw(run: Run, folder: Path) -> list[Path]:
    """Draw both kinds of plots.

    Args:
        run: as `tables.read` gives it.
        folder: created if needed.
    Returns:
        The PNG files written: roofline.png, and scaling-OPERATION.png of every operation that was
        timed at two sizes or more.
    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("figures need matplotlib: pip install matplotlib") from error
    folder.mkdir(parents=True, exist_ok=True)
    written = [_saved(_roofline(Figure(figsize=(9, 6)), run), folder / "roofline.png")]
    for operation, lines in sorted(scaling(run).items()):
        figure = _scaling(Figure(figsize=(7, 5)), operation, lines)
        written.append(_saved(figure, folder / f"scaling-{operation}.png"))
    return written


def points(run: Run) -> dict[str, list[tuple[float, float]]]:
    """(FLOP per byte, FLOP/s) of every row that has FLOP, by operation."""
    found = defaultdict(list)
    for row in run.rows.values():
        if row["flops"] and row["bytes"]:
            found[row["operation"]].append((row["flops"] / row["bytes"],
                                            row["flops"] / row["p50"]))
    return dict(found)


def scaling(run: Run) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """(size, median) of every line of every operation, sorted; lines of one point are left out.

    The size is the number that ends a shape's name, and what comes before it names the line too.
    """
    found: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for row in run.rows.values():
        size = re.search(r"(\d+(?:e\d+)?)$", row["shape"])
        if size:
            found[row["operation"]][_line(row, size.start())].append(
                (int(float(size.group(1))), row["p50"]))
    kept = {operation: {name: sorted(line) for name, line in lines.items() if len(line) > 1}
            for operation, lines in found.items()}
    return {operation: lines for operation, lines in kept.items() if lines}


def _line(row: Row, end: int) -> str:
    prefix = row["shape"][:end].rstrip("BN").rstrip("-")
    return " ".join(x for x in (prefix, row["implementation"], row["axis"], row["mode"]) if x)


def _roofline(figure, run: Run):
    axes = figure.add_subplot()
    for name, values in points(run).items():
        axes.loglog(*zip(*values, strict=True), ".", label=name)
    low, high = axes.get_xlim()
    for device, ceilings in run.machine.get("ceilings", {}).items():
        for precision in PRECISIONS:
            if precision in ceilings:
                knee = ceilings[precision] / ceilings["copy"]
                xs = sorted((low, min(max(knee, low), high), high))
                axes.loglog(xs, [min(ceilings[precision], ceilings["copy"] * x) for x in xs],
                            label=f"{device} {precision}")
    axes.set(xlabel="FLOP per byte", ylabel="FLOP/s", title=run.machine.get("device", ""))
    axes.legend(fontsize="x-small", ncol=2)
    return figure


def _scaling(figure, operation: str, lines: dict[str, list[tuple[int, float]]]):
    axes = figure.add_subplot()
    for name, line in lines.items():
        axes.loglog(*zip(*line, strict=True), "o-", label=name)
    axes.set(xlabel="size", ylabel="median, seconds", title=operation)
    axes.legend(fontsize="x-small")
    return figure


def _saved(figure, path: Path) -> Path:
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path
