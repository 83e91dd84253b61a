"""The report of a main job and the line of progress."""

from __future__ import annotations

import json
import math
import os
from itertools import pairwise

import numpy as np
import pytest

from reference.experiment.report import markdown, world_line, write_report

REPORT = {
    "preset": "quick", "seed": 4, "subjects": 6000, "world": "World: a test.",
    "machine": {"processor": "a processor", "threads": 2, "torch": "2.4.0"},
    "warnings": ["the run ended on the plateau"],
    "seconds": {"cohort": 12.34, "mdm": 100.0}, "mdm": {"val_ncc": 0.9123},
    "phenotypes": {"mdm": {"LV": 0.1234, "RV": np.float64(0.5)},
                   "mdm+mmcl": {"LV": math.nan, "RV": -0.02}},
    "risk": {"mdm": {"CAD": 0.71, "AF": math.nan}, "mdm+mmcl": {"CAD": 0.75, "AF": 0.6}},
    "retrieval": {"top1": 0.05, "top5": 0.2, "median_rank": 31.5, "candidates": 256},
    "retrieval_cmr_to_ecg": {"top1": 0.06, "top5": 0.25, "median_rank": 30, "candidates": 256},
    "gain": {"mdm+mmcl minus mdm": {"value": 0.021, "low": -0.004, "high": 0.05}},
    "curves": {"mdm": {"scores": [(1, np.float32(0.5)), (2, math.inf)]}},
}


# --- report.json and report.md


def test_write_report(tmp_path):
    write_report(tmp_path, REPORT)
    assert sorted(os.listdir(tmp_path)) == ["report.json", "report.md"]
    text = (tmp_path / "report.json").read_text()
    assert "NaN" not in text and "Infinity" not in text and text.endswith("}\n")
    got = json.loads(text)
    assert set(got) == set(REPORT)
    assert got["phenotypes"] == {"mdm": {"LV": 0.1234, "RV": 0.5},
                                 "mdm+mmcl": {"LV": None, "RV": -0.02}}
    assert got["risk"]["mdm"] == {"CAD": 0.71, "AF": None}
    assert got["curves"]["mdm"]["scores"] == [[1, 0.5], [2, None]]
    assert got["seconds"] == {"cohort": 12.34, "mdm": 100.0} and got["seed"] == 4
    assert got["retrieval"] == REPORT["retrieval"] and got["warnings"] == REPORT["warnings"]
    assert (tmp_path / "report.md").read_text() == markdown(REPORT).rstrip() + "\n"


def test_markdown():
    lines = markdown(REPORT).splitlines()
    assert lines[0] == "World: a test."
    for wanted in (
            "**Warning** the run ended on the plateau",
            "Preset `quick`, seed 4, 6000 subjects, 112 s on a processor, 2 threads, torch 2.4.0.",
            "| arm | LV | RV | |", "| mdm | 0.123 | 0.500 | stage 1, linear probe |",
            "| mdm+mmcl | - | -0.020 | the method, probe |",
            "| arm | CAD | AF |", "| mdm | 0.710 | - |", "| mdm+mmcl | 0.750 | 0.600 |",
            "Retrieval among 256 test subjects (chance: top-1 0.4%, top-5 2.0%, median rank "
            "128.5):",
            "| ECG -> CMR, mdm+mmcl | 5.0% | 20.0% | 31.5 |",
            "| CMR -> ECG, mdm+mmcl | 6.0% | 25.0% | 30 |",
            "Masked reconstruction (80 % hidden): NCC 0.912 on validation subjects.",
            "| stage | seconds |", "| cohort | 12.3 |", "| mdm | 100.0 |"):
        assert wanted in lines, wanted
    assert not any("mmcl |" in line and "ECG -> CMR, mmcl" in line for line in lines)
    gain = next(line for line in lines if line.startswith("R2 of mdm+mmcl minus mdm"))
    assert "+0.021 (95 % interval -0.004 to +0.050" in gain
    tables = [line for line in lines if line.startswith("|")]
    for head, rule in pairwise(tables):
        if rule.startswith("|---"):
            assert head.count("|") == rule.count("|")


def test_markdown_of_what_was_reached():
    part = {key: REPORT[key] for key in ("preset", "seed", "world", "seconds")}
    machine = {**REPORT["machine"], "accelerator": "a card"}
    text = markdown({**part, "machine": machine, "interrupted": True})
    assert "**Interrupted**" in text and "on a card, 2 threads" in text and "? subjects" in text
    assert "R2" not in text and "Retrieval" not in text and "NCC" not in text
    assert "**Interrupted**" not in markdown({**part, "machine": machine})
    assert "NCC -" in markdown({**REPORT, "mdm": {"val_ncc": None}})


@pytest.mark.parametrize("generator, words", [
    (None, "given cohort"), ({}, "given cohort"),
    ({"ecg_noise": 1.0, "coupling": 1.0}, "synthetic, realistic (ecg_noise 1, where 1 is"),
    ({"seed": 3}, "synthetic, realistic (ecg_noise 1"),
    ({"ecg_noise": 0.5, "coupling": 1.0}, "clearer than realistic (ecg_noise 0.5"),
    ({"ecg_noise": 0.5, "coupling": 0.3}, "altered (ecg_noise 0.5, where 1 is realistic; "
     "coupling 0.3"),
    ({"ecg_noise": 2.0, "coupling": 1.0}, "altered (ecg_noise 2"),
    ({"ecg_noise": 1.0, "coupling": 0.0}, "altered (ecg_noise 1")])
def test_world_line(generator, words):
    line = world_line(generator)
    assert line.startswith("World: ") and words in line and "\n" not in line
    assert "chosen" not in line


def test_world_line_says_that_subjects_were_chosen():
    assert "each diagnosis reaches 20%" in world_line({"ecg_noise": 0.5, "enrich": 0.2})


def test_a_failed_write_leaves_the_old_report(tmp_path, monkeypatch):
    write_report(tmp_path, REPORT)
    before = {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)}
    with pytest.raises(TypeError):
        write_report(tmp_path, {**REPORT, "seed": object()})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, {**REPORT, "seed": 5})
    assert {name: (tmp_path / name).read_text() for name in before} == before
