"""The result of a main job as report.json and report.md.

    report.json  {"preset", "seed", "machine", "world", "seconds": {stage: s}, "mdm": {"val_ncc"},
                  "retrieval": {"top1", "top5", "median_rank", "candidates"},
                  "phenotypes": {arm: {group: mean R2}}, "risk": {arm: {label: AUROC}}, ...}

Numbers that are not defined (one class only) are null in the file and a dash in the table.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from reference.atomic import write_text

WHAT = {"supervised": "same encoder, labels only", "mdm": "stage 1, linear probe",
        "mmcl": "stage 2 from random weights, probe", "mdm+mmcl": "the method, probe",
        "cmr": "CMR encoder, probe (upper bound)"}


def write_report(directory: str | os.PathLike, report: dict) -> None:
    """Write report.json and report.md atomically.

    Args:
        directory: of the main job.
        report: as described at the head of this file; NaN becomes null.
    """
    directory = Path(directory)
    text = json.dumps(_plain(report), indent=1, allow_nan=False)
    for name, content in (("report.json", text), ("report.md", markdown(report))):
        write_text(directory / name, content.rstrip() + "\n")


def world_line(generator: dict | None) -> str:
    """First line of the report: which world the numbers come from.

    Args:
        generator: as the manifest of the cohort has it.
    Returns:
        One sentence.
    """
    if not generator:
        return "World: the given cohort (not synthetic, or its generator is unknown)."
    noise, coupling = generator.get("ecg_noise", 1.0), generator.get("coupling", 1.0)
    kind = "realistic" if noise == 1 and coupling == 1 else (
        "clearer than realistic" if noise < 1 <= coupling else "altered")
    chosen = generator.get("enrich", 0.0)
    rare = f"; subjects chosen so that each diagnosis reaches {chosen:.0%}" if chosen else ""
    return (f"World: synthetic, {kind} (ecg_noise {noise:g}, where 1 is realistic; coupling "
            f"{coupling:g}{rare}).")


def markdown(report: dict) -> str:
    """The report as Markdown.

    Args:
        report: as described at the head of this file.
    Returns:
        Text without a last line break.
    """
    lines = [report["world"], ""]
    lines += [f"**Warning** {text}\n" for text in report.get("warnings", [])]
    if report.get("interrupted"):
        lines += ["**Interrupted**: what follows is what was reached.", ""]
    seconds = report["seconds"]
    lines += [f"Preset `{report['preset']}`, seed {report['seed']}, {report.get('subjects', '?')} "
              f"subjects, {sum(seconds.values()):.0f} s on {_machine(report['machine'])}.", ""]
    if "phenotypes" in report:
        lines += _phenotype_table(report) + _risk_table(report) + _retrieval_table(report)
        lines += _gains(report)
    if "mdm" in report:
        ncc = report["mdm"]
        lines += [f"Masked reconstruction (80 % hidden): NCC {_number(ncc['val_ncc'])} on "
                  "validation subjects.", ""]
    lines += ["| stage | seconds |", "|---|---|"]
    lines += [f"| {name} | {value:.1f} |" for name, value in seconds.items()]
    return "\n".join(lines)


def _machine(facts: dict) -> str:
    return (f"{facts.get('accelerator', facts['processor'])}, {facts['threads']} threads, torch "
            f"{facts['torch']}")


def _phenotype_table(report: dict) -> list[str]:
    groups = list(next(iter(report["phenotypes"].values())))
    lines = ["Phenotypes, mean R2 on test subjects (higher is better):", "",
             "| arm | " + " | ".join(groups) + " | |", "|---|" + "---|" * (len(groups) + 1)]
    for arm, values in report["phenotypes"].items():
        cells = " | ".join(_number(values[g]) for g in groups)
        lines.append(f"| {arm} | {cells} | {WHAT.get(arm, '')} |")
    return [*lines, ""]


def _risk_table(report: dict) -> list[str]:
    labels = list(next(iter(report["risk"].values())))
    lines = ["Risk, AUROC on test subjects (0.5 is chance):", "",
             "| arm | " + " | ".join(labels) + " |", "|---|" + "---|" * len(labels)]
    for arm, values in report["risk"].items():
        lines.append(f"| {arm} | " + " | ".join(_number(values[name]) for name in labels) + " |")
    return [*lines, ""]


def _retrieval_table(report: dict) -> list[str]:
    n = report["retrieval"]["candidates"]
    lines = [f"Retrieval among {n} test subjects (chance: top-1 {1 / n:.1%}, top-5 {5 / n:.1%}, "
             f"median rank {(n + 1) / 2:g}):", "", "| direction | top-1 | top-5 | median rank |",
             "|---|---|---|---|"]
    for title, key in (("ECG -> CMR, mdm+mmcl", "retrieval"),
                       ("CMR -> ECG, mdm+mmcl", "retrieval_cmr_to_ecg"),
                       ("ECG -> CMR, mmcl", "retrieval_mmcl")):
        if key in report:
            r = report[key]
            lines.append(f"| {title} | {r['top1']:.1%} | {r['top5']:.1%} | {r['median_rank']:g} |")
    return [*lines, ""]


def _gains(report: dict) -> list[str]:
    return [f"R2 of {name}: {g['value']:+.3f} (95 % interval {g['low']:+.3f} to {g['high']:+.3f}, "
            "bootstrap over test subjects, all phenotypes).\n"
            for name, g in report.get("gain", {}).items()]


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _plain(value: Any) -> Any:
    """JSON-ready copy: NaN and infinity become None, NumPy numbers become Python's."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
