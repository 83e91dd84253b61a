"""The commands `check` and `import` at the command line."""

from __future__ import annotations

import numpy as np

from reference.__main__ import main
from tests.support.cohorts import some_arrays


def test_check_prints_faults_and_exits_1(capsys, tmp_path):
    assert main(["check", str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().out


def test_check_of_a_valid_cohort_counts_its_splits(capsys, pristine):
    assert main(["check", str(pristine)]) == 0
    assert capsys.readouterr().out == f"{pristine}: valid, 3 subjects (train 3, val 0, test 0)\n"


def test_import_builds_a_cohort_that_check_accepts(capsys, tmp_path):
    arrays, files = some_arrays(), {}
    for name in ("ecg", "cmr", "labels"):
        files[name] = str(tmp_path / f"{name}.npy")
        np.save(files[name], arrays[name])
    assert main(["import", "--ecg", files["ecg"], "--cmr", files["cmr"], "--labels",
                 files["labels"], "--out", str(tmp_path / "c")]) == 0
    assert main(["check", str(tmp_path / "c")]) == 0
    assert "3 subjects" in capsys.readouterr().out
