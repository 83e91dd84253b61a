"""Pictures to judge the synthetic heart by eye: ECG sheets and cine frames with contours.

    sheet   25 mm/s and 10 mm/mV on millimetre paper; 4 columns of 2.5 s, a strip of lead II, and a
            calibration pulse of 1 mV and 200 ms
    frames  ED, half-way, ES with the contours of the segmentation

Subjects are found by walking the subject numbers and reading only their physiology.

Glossary: ED, ES, ends of diastole and systole; LVH, hypertrophy; DCM, dilated cardiomyopathy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_synth.heart import physiology
from data_synth.simulation import Subject, simulate_one
from reference.atomic import replacing
from reference.cohort import LEADS

MISSING = "figures need matplotlib: pip install 'ecgcmr-reference[figures]'"
Person = dict[str, float]
_COLOURS = ("#35c4ff", "#ffd23f", "#ff5d8f")  # LV blood, muscle, RV blood


def _well(p: Person) -> bool:
    return not any(p[n] for n in ("dm", "cad", "af", "dcm", "lbbb", "rbbb"))


def _index(p: Person) -> float:
    return p["lvm_target"] / p["bsa"] - (72 if p["male"] else 55)


def _infarct(territory: int) -> Callable[[Person], bool]:
    return lambda p: p["scar_territory"] == territory and p["scar_size"] > 14 and not p["af_now"]


FINDINGS: dict[str, Callable[[Person], bool]] = {
    "normal": lambda p: _well(p) and abs(p["ef_target"] - 60) < 3 and p["bmi"] < 26,
    "lvh": lambda p: _well(p) and _index(p) > 6,
    "dcm": lambda p: p["dcm"] > 0 and p["ef_target"] < 38 and not p["lbbb"] and not p["af_now"],
    "infarct_anterior": _infarct(1), "infarct_lateral": _infarct(2),
    "infarct_inferior": _infarct(3),
    "fibrillation": lambda p: p["af_now"] > 0,
    "left_bundle_branch_block": lambda p: p["lbbb"] > 0 and not p["af_now"],
    "right_bundle_branch_block": lambda p: p["rbbb"] > 0 and not p["af_now"]}


def available() -> bool:
    """Is matplotlib installed?"""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def find(finding: str, seed: int = 0, first: int = 0, most: int = 200_000) -> int:
    """The first subject who has a finding.

    Args:
        finding: a key of `FINDINGS`; seed: of the cohort; first: number to begin with;
        most: how many subjects to read.
    Returns:
        The subject's number.
    Raises:
        ValueError: an unknown finding, or nobody has it.
    Source: own thresholds.
    """
    if finding not in FINDINGS:
        raise ValueError(f"finding={finding!r}, but should be one of {', '.join(FINDINGS)}")
    for subject in range(first, first + most):
        if FINDINGS[finding](physiology.sample(subject, seed)):
            return subject
    raise ValueError(f"no {finding} among subjects {first}..{first + most - 1}")


def draw(directory: str | os.PathLike, seed: int = 0) -> list[Path]:
    """One ECG sheet and one row of frames for each finding.

    Args:
        directory: made if it does not exist; seed: of the cohort.
    Returns:
        The PNG files.
    Raises:
        ModuleNotFoundError: matplotlib is missing.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for finding in FINDINGS:
        subject = find(finding, seed)
        one = simulate_one(subject, seed)
        title = f"{finding.replace('_', ' ')}, subject {subject}: {describe(one)}"
        for kind, picture in (("ecg", sheet), ("cine", frames)):
            paths.append(directory / f"{finding}_{kind}.png")
            picture(paths[-1], one, title)
    return paths


def describe(one: Subject) -> str:
    """Sex, age and the main numbers of a subject, in words."""
    x = one.latents
    return (f"{'man' if x['male'] else 'woman'}, {x['age']:.0f} years, BMI {x['bmi']:.0f}, "
            f"LVEDV {x['lvedv']:.0f} ml, LVEF {x['lvef']:.0f} %, LVM {x['lvm']:.0f} g"
            + (f", scar {x['scar_size']:.0f} %" if x["scar_size"] else ""))


def sheet(path: str | os.PathLike, one: Subject, title: str) -> None:
    """A 12-lead sheet on millimetre paper: 25 mm/s, 10 mm/mV.

    Args:
        path: PNG file; one: the subject; title: printed above.
    """
    width, height, step = 270, 150, 33  # mm
    figure = _figure(figsize=(width / 25.4, height / 25.4))
    axis = figure.add_axes((0, 0, 1, 1))
    _paper(axis, width, height)
    columns = np.array(LEADS).reshape(4, 3).T  # I II III | aVR aVL aVF | V1 V2 V3 | V4 V5 V6
    for line in range(4):
        base = height - 32 - step * line
        pulse = np.array([0, 1, 1, 6, 6, 7]), np.array([0, 0, 10, 10, 0, 0])
        axis.plot(4 + pulse[0], base + pulse[1], color="black", lw=.8)
        for column in range(4 if line < 3 else 1):
            name = columns[line, column] if line < 3 else "II"
            span = slice(1250 * column, 1250 * (column + 1)) if line < 3 else slice(0, 5000)
            wave = one.ecg[LEADS.index(name), span]
            time = 13 + 25 * np.arange(span.start, span.stop) / 500
            axis.plot(time, base + 10 * (wave - np.median(one.ecg[LEADS.index(name)])),
                      color="black", lw=.7)
            axis.text(time[0] + 1, base + 13, name, fontsize=8, weight="bold")
    axis.text(4, height - 6, title, fontsize=8)
    axis.text(4, 3, "25 mm/s   10 mm/mV   synthetic", fontsize=7)
    _save(figure, path)


def frames(path: str | os.PathLike, one: Subject, title: str) -> None:
    """Frames ED, half-way and ES, around the heart, with contours of the segmentation.

    Args:
        path: PNG file; one: the subject; title: printed above.
    """
    figure = _figure(figsize=(10.5, 4), layout="constrained")
    at = np.argwhere(one.segmentation[0] > 0)
    top, left = np.maximum((at.min(axis=0) + at.max(axis=0)) // 2 - 48, 0)
    part = (slice(None), slice(top, top + 96), slice(left, left + 96))
    for axis, image, labels, name in zip(figure.subplots(1, 3), one.cmr[part],
                                         one.segmentation[part], ("ED", "half-way", "ES"),
                                         strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        for label, colour in enumerate(_COLOURS, 1):
            axis.contour(labels == label, levels=[.5], colors=[colour], linewidths=.9)
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    figure.suptitle(title, fontsize=9)
    _save(figure, path)


def _paper(axis, width: float, height: float) -> None:
    """Millimetre paper: light lines each mm, stronger ones each 5 mm."""
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    for step, strength in ((1, .25), (5, .7)):
        axis.vlines(np.arange(0, width + 1, step), 0, height, color="#f2a7a7", lw=strength)
        axis.hlines(np.arange(0, height + 1, step), 0, width, color="#f2a7a7", lw=strength)


def _figure(**options):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ModuleNotFoundError(MISSING) from None
    return Figure(**options)


def _save(figure, path: str | os.PathLike) -> None:
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=130)
