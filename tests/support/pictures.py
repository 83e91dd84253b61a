"""The pictures of README.md: `python -m tests.support.pictures [pair] [result] [house]`.

    pair     a synthetic subject: twelve leads beside the cine's frames with contours
    result   the main job's table as bars, from --report FILE (report.json of a run)
    house    the folders and who imports whom, read from the code
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import Counter
from pathlib import Path

import numpy as np

from data_synth import simulate_one
from data_synth.realism.gallery import describe, find
from reference.atomic import replacing
from reference.cohort import LEADS
from tests.support.helpers import ROOT

PICTURES = ROOT / "tests" / "pictures"
CONTOURS = ("#35c4ff", "#ffd23f", "#ff5d8f")  # LV blood, muscle, RV blood
PLACES = {  # folder -> column, row of its box
    "data_synth/realism": (0, 0), "data_synth": (0, 2.4), "data_synth/audit": (0, 4.8),
    "data_synth/ecg": (1, 1.2), "data_synth/heart": (1, 2.4), "data_synth/cmr": (1, 3.6),
    "reference/cohort": (2, 4.4), "reference": (2, 1.6), "reference/experiment": (3, 0),
    "reference/conformance": (3, 1.6), "reference/kernels": (3, 3.2), "benchmarks": (4, 1.2),
    "benchmarks/harness": (4, 3)}
WHAT = {"data_synth": "subjects, streams, writing", "data_synth/heart": "one physiology",
        "data_synth/ecg": "its 12 leads", "data_synth/cmr": "its cine",
        "data_synth/realism": "like published hearts?", "data_synth/audit": "a shortcut?",
        "reference/cohort": "data on disk", "reference": "the method",
        "reference/kernels": "optional speed", "reference/experiment": "arms, runs, report",
        "reference/conformance": "for porters", "benchmarks": "one file an operation",
        "benchmarks/harness": "clocks, rooflines"}


def pair(path: Path) -> None:
    """Leads and frames of the first subject with an anterior infarct."""
    from matplotlib.figure import Figure

    subject = find("infarct_anterior")
    one = simulate_one(subject)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    time = np.arange(1250) / 500
    for k, lead in enumerate(LEADS):
        column, row = divmod(k, 6)
        x, y = 2.7 * column, -1.6 * row
        left.plot(time + x, one.ecg[k, :1250] + y, color="black", lw=.6)
        left.text(x, y + .45, lead, fontsize=7)
    left.set_title("ECG, 2.5 s of each lead", fontsize=9)
    rows = np.concatenate([one.cmr[frame, 40:140, 50:160] for frame in (0, 2)])
    right.imshow(rows, cmap="gray", vmin=0, vmax=1)
    mask = np.concatenate([one.segmentation[frame, 40:140, 50:160] for frame in (0, 2)])
    for part, colour in enumerate(CONTOURS, 1):
        right.contour(mask == part, levels=[.5], colors=[colour], linewidths=.8)
    right.set_title("cine: ED above, ES below", fontsize=9)
    for axis in (left, right):
        axis.axis("off")
    figure.suptitle(f"subject {subject}: {describe(one)}", fontsize=9)
    _save(figure, path)


def result(path: Path, report: Path) -> None:
    """R2 of every arm in every group, AUROC of every risk."""
    from matplotlib.figure import Figure

    found = json.loads(report.read_text())
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, width_ratios=(1.6, 1))
    for axis, key, title in ((axes[0], "phenotypes", "mean R2 on test subjects"),
                             (axes[1], "risk", "AUROC on test subjects (.5 is chance)")):
        arms, names = list(found[key]), list(next(iter(found[key].values())))
        for k, arm in enumerate(arms):
            heights = [found[key][arm][name] or 0 for name in names]
            axis.bar(np.arange(len(names)) + .16 * (k - 2), heights, .15, label=arm)
        axis.set_xticks(range(len(names)), names, fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_ylim(.4, None)
    axes[0].legend(fontsize=7, frameon=False)
    _save(figure, path)


def arrows() -> Counter:
    """(importing folder, imported folder) -> number of imports of other folders."""
    found: Counter = Counter()
    files = {path.relative_to(ROOT) for package in ("reference", "data_synth", "benchmarks")
             for path in (ROOT / package).rglob("*.py")}
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    stem = Path(*node.module.split("."))
                    target = next((t for t in (stem / f"{name.name}.py", stem.with_suffix(".py"),
                                               stem / "__init__.py") if t in files), None)
                    if target is not None and target.parent != file.parent:
                        found[file.parent.as_posix(), target.parent.as_posix()] += 1
    return found


def house(path: Path) -> None:
    """A box a folder, an arrow from who imports to what is imported."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axis = figure.subplots()
    spot = {name: (2.3 * column, -row) for name, (column, row) in PLACES.items()}
    for (a, b), count in arrows().items():
        if a in spot and b in spot:
            axis.annotate("", spot[b], spot[a], arrowprops={
                "arrowstyle": "->", "color": "#8aa", "lw": .5 + min(count, 12) / 6,
                "shrinkA": 32, "shrinkB": 32, "connectionstyle": "arc3,rad=.08"})
    for name, (x, y) in spot.items():
        axis.text(x, y, f"{name}\n{WHAT[name]}", ha="center", va="center", fontsize=7.5,
                  bbox={"boxstyle": "round,pad=.4", "fc": "#eef4fb", "ec": "#456"})
    axis.set_xlim(-1, 10.2)
    axis.set_ylim(-5.3, .5)
    axis.axis("off")
    _save(figure, path)


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=90)


def main() -> None:
    """Draw what is asked for, by default all."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.pictures")
    parser.add_argument("names", nargs="*", metavar="NAME", help="pair, result, house")
    parser.add_argument("--report", type=Path, default=ROOT / "runs" / "quick-0" / "report.json")
    options = parser.parse_args()
    for name in options.names or ("pair", "result", "house"):
        path = PICTURES / f"{name}.png"
        {"pair": pair, "house": house,
         "result": lambda path: result(path, options.report)}[name](path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
