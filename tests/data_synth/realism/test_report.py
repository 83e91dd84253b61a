"""The realism report: its ECG-only models, its table, its command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data_synth import VERSION, simulate_one
from data_synth import __main__ as command
from data_synth.realism import measurement, report, statistics
from data_synth.realism.measurement import RECORD
from data_synth.realism.report import Result
from data_synth.realism.targets import ROWS, Row
from tests.support.helpers import ROOT, assert_equal

COUNT = 200
ROW = Row("a quantity", "mean", (), "all", "", 0.0, 1.0, "nowhere")


@pytest.mark.parametrize("value, error, want", [
    (.5, .1, "yes"), (0., .1, "yes"), (1.1, .1, "within error"), (-.3, .1, "NO"),
    (1.3, .1, "NO"), (np.nan, np.nan, "not measured"), (2.0, np.nan, "NO")])
def test_inside(value, error, want):
    assert_equal("inside", Result(ROW, value, error).inside, want)


def test_inputs_learn_from_training_rows_alone(measured):
    train = np.arange(120)
    first = report.inputs(measured, train)
    assert np.isfinite(first).all() and len(first) == COUNT + 6
    changed = measured.beats.copy()
    changed[150:] *= 3
    table = {name: np.where(np.arange(COUNT + 6) >= 150, 2 * c, c)
             for name, c in measured.table.items()}
    second = report.inputs(measurement.Measured(table, changed), train)
    assert_equal("training rows", second[:120], first[:120])
    assert np.abs(second[150:] - first[150:]).max() > .1


def test_inputs_hold_no_demographics(measured):
    train = np.arange(120)
    table = dict(measured.table)
    for name in (*statistics.DEMOGRAPHICS, "LVM", "LVEDV", "LVEF", "mask.wt_ed", "lvmi"):
        table[name] = np.zeros(COUNT + 6)
    assert_equal("inputs", report.inputs(measurement.Measured(table, measured.beats), train),
                 report.inputs(measured, train))


def test_area_under_the_curve_needs_three_positives_in_each_part():
    x, parts = np.arange(30.0)[:, None], np.split(np.arange(30), 3)
    label = (np.arange(30) % 4 == 0).astype(float)
    value, error = report._held_auc(x, label, parts)
    assert np.isnan(value) and np.isnan(error)  # the middle part holds two
    label[11] = 1
    value, error = report._held_auc(x, label, parts)
    assert 0 <= value <= 1 and 0 < error < 1


def test_low_ejection_subjects():
    found = report.low_ejection_subjects(1000, 0, 3)
    assert len(found) == 3 and found == sorted(set(found)) and found[0] >= 1000


# ---- the command ---------------------------------------------------------------------------------

@pytest.mark.parametrize("given", [False, True])
def test_report_text_and_json(quick_report, capsys, tmp_path, given):
    """Without a record there is no row of one; the kept file is the command and the print."""
    path, kept, record = (str(tmp_path / name) for name in ("a.json", "a.md", "mine.npz"))
    one = simulate_one(0, 0)
    np.savez(record, ecg_mv=one.ecg, frank_xyz_mv=one.ecg[:3], fs=500)
    words = ["--subjects", str(COUNT), "--json", path, "--out", kept]
    words += ["--record", record] if given else []
    assert command.main(["report", *words]) == 0
    printed = capsys.readouterr().out
    kept_text = Path(kept).read_text("utf-8")
    assert kept_text == f"python -m data_synth report {' '.join(words)}\n\n{printed}"
    assert "| volumes | LVEDV, mean, ml | men |" in printed and "not measured" in printed
    assert "| electrical | QRS, men - women, ms | men vs women | 8 to 10 | 4 .. 12 |" in printed
    lines, extra = printed.splitlines(), given * (len(RECORD) + 8)
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {9}
    assert_equal("rows", len(table), 2 + len(ROWS) + extra)
    assert_equal("of the record", sum(line.startswith("| record |") for line in table), extra)
    stored = json.loads(Path(path).read_text())
    assert stored["subjects"] == COUNT and len(stored["rows"]) == len(ROWS) + extra
    assert all(r["obtained"] is None or np.isfinite(r["obtained"]) for r in stored["rows"])
    assert [r["quantity"] for r in stored["rows"][:len(ROWS)]] == [r.quantity for r in ROWS]
    models = [r["obtained"] for r in stored["rows"] if r["statistic"] == "model r"]
    assert len(models) == 8 and all(-1 <= r <= 1 for r in models)
    words = [line.split(" | ")[-1].removesuffix(" |") for line in table[2:]]
    assert lines[0] == (f"{COUNT} subjects, seed 0, generator {VERSION}: "
                        f"{words.count('yes')} yes, {words.count('within error')} within error, "
                        f"{words.count('NO')} NO, {words.count('not measured')} not measured.")


@pytest.mark.parametrize("words, message", [
    (["--subjects", "10"], "at least 200"), (["--workers", "0"], "1..256"),
    (["--subjects", "300", "--seed", "-1"], "seed"), (["--record", "/none.npz"], "none.npz"),
    (["--out", "/none/a.md"], "is no directory"), (["--json", "/none/a"], "is no directory")])
def test_bad_options_are_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["report", *words])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_progress_of_the_report_is_told_at_the_end(monkeypatch, capsys):
    def quick(subjects, seed, workers, record, progress):
        progress(100, subjects)
        progress(subjects, subjects)
        return []

    monkeypatch.setattr(report, "report", quick)
    assert command.main(["report", "--subjects", "300"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("300 of 300 subjects, ")


def test_results_file_is_the_output_of_this_version():
    """`head -1 FILE | sh` makes it again; every target has its row; the prose tells the same."""
    path = ROOT / "data_synth" / "realism" / f"results-{VERSION}.md"
    command_line, empty, summary, _, *table = path.read_text("utf-8").splitlines()
    assert command_line == ("python -m data_synth report --subjects 20000 --workers 2 --out "
                            f"{path.relative_to(ROOT).as_posix()}") and not empty
    cells = [line.strip("| ").split(" | ") for line in table[2:]]
    assert_equal("rows", [row[:4] for row in cells], [
        [r.section, r.quantity + (f", {r.unit}" if r.unit else ""),
         r.group.replace(" | ", " vs "), r.target] for r in ROWS])
    assert_equal("bands", [row[4] for row in cells], [f"{r.low:.4g} .. {r.high:.4g}" for r in ROWS])
    counts = summary.removeprefix(f"20,000 subjects, seed 0, generator {VERSION}: ")
    for count in counts.removesuffix(".").split(", "):
        number, word = count.split(" ", 1)
        assert_equal(word, sum(row[-1] == word for row in cells), int(number))
    readme = " ".join((ROOT / "data_synth" / "README.md").read_text("utf-8").split())
    assert counts.removesuffix(".") in readme
