"""The audit: silent on the generator, and loud on shortcuts planted on purpose."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from data_synth import VERSION, simulate
from data_synth.audit import graph, interventions, report, sampling
from data_synth.audit.check import Check
from data_synth.audit.interventions import Model
from data_synth.audit.measures import Measured, measure
from tests.support.audits import N, failed, rng, shared_noise
from tests.support.helpers import ROOT, assert_equal

# ---- the generator passes ------------------------------------------------------------------------

def test_statistics(plain, uncoupled):
    checks = [*report.conditional_independence(plain, rng()), *report.permuted_pairs(plain, rng()),
              *report.matched_retrieval(plain, uncoupled), *report.arrays(plain, uncoupled, rng())]
    assert_equal("failed", [c for c in checks if c.passed is False
                            and "control" not in c.name], [])
    assert_equal("checks", len(checks), 4 + 3 + 4 + 6)


def test_dose(plain, uncoupled):
    checks = report.dose([uncoupled, uncoupled, plain, plain], rng())
    strong = [c for c in checks if "LVM" in c.name or "image" in c.name]
    assert_equal("failed", [c for c in strong if not c.passed], [])
    assert_equal("checks", len(checks), 2 * (6 + 3 + 1))


def test_dose_cohorts():
    cohorts = report.dose_cohorts(Model(), 8, 2)
    assert_equal("cohorts", len(cohorts), 4)
    for m in cohorts[1:]:
        np.testing.assert_array_equal(m.image, cohorts[0].image)
        assert not np.array_equal(m.ecg, cohorts[0].ecg)
    assert cohorts[0].labels.mean(0).min() >= .2


# ---- planted shortcuts fail ----------------------------------------------------------------------

@pytest.fixture(scope="module")
def same_noise() -> Measured:
    return measure(shared_noise, range(N // 2), 0)


def test_shared_noise_is_caught_by_independence(same_noise):
    assert failed(report.conditional_independence(same_noise, rng()), "(iv)")


def test_shared_noise_is_caught_by_retrieval(same_noise):
    model = Model(simulate=shared_noise)
    checks = report.nuisance_retrieval(model, same_noise, 0)
    assert failed(checks, "same nuisance seeds")


def test_true_nuisances_leave_retrieval():
    checks = report.nuisance_retrieval(Model(), measure(simulate, range(200), 0), 0)
    assert_equal("failed", [c for c in checks if not c.passed], [])


def test_brightness_tied_to_voltage(measured):
    checks = report.conditional_independence(measured["brightness"], rng())
    assert failed(checks, "mean R2") and failed(checks, "largest R2")


def test_coupling_that_never_ends(plain):
    checks = report.dose([plain] * 4, rng())
    assert failed(checks, "LVM: r beyond demographics at coupling 0")


def test_falling_dose(plain, uncoupled):
    checks = report.dose([uncoupled, plain, uncoupled, plain], rng())
    assert failed(checks, "LVM: smallest step")


def test_label_in_a_border_pixel(measured, uncoupled):
    checks = report.arrays(measured["border"], uncoupled, rng())
    assert_equal("failed", len(failed(checks, "border pixels -> labels")), 1)


def test_offset_tied_to_a_phenotype(plain, uncoupled):
    offsets = uncoupled.ecg_margin.copy()
    ejection = plain.phenotypes[:, 3]
    offsets[:, 5] += .2 * (ejection - ejection.mean()) / ejection.std()
    leak = uncoupled._replace(ecg_margin=offsets)
    assert failed(report.arrays(plain, leak, rng()), "ECG offsets and extremes at coupling 0 -> ")


def test_sorted_files(plain, uncoupled):
    order = np.argsort(plain.latents["lvm"])
    checks = report.arrays(plain.rows(order), uncoupled.rows(order), rng())
    assert failed(checks, "file order")


# ---- strata --------------------------------------------------------------------------------------

def test_strata(plain):
    rows = report._within_strata(plain, rng())
    assert_equal("rows", sorted(rows), list(range(N)))
    np.testing.assert_array_equal(plain.latents["male"][rows], plain.latents["male"])
    np.testing.assert_array_equal(rows % 4, np.arange(N) % 4)
    assert np.mean(rows == np.arange(N)) < .1


def test_matched(plain):
    allowed = report._matched(plain)
    for i in range(0, N, 17):
        for j in range(N):
            want = i != j and all(
                abs(plain.latents[name][i] - plain.latents[name][j]) <= width for name, width in
                (("male", 0), ("bsa", .05), ("age", 3), ("heart_rate", 3)))
            assert_equal("allowed", bool(allowed[i, j]), bool(want), f"{i}, {j}")
    assert math.isclose(allowed.sum(), allowed.T.sum())


# ---- the command ---------------------------------------------------------------------------------

def test_text():
    checks = [Check("a", .5, "<= 1", True), Check("b", 2, "<= 1", False, "why"),
              Check("c", 3, "reported", None)]
    lines = report.text(checks, 1200, 4).splitlines()
    assert_equal("head", lines[:2], [
        f"1,200 subjects, seed 4, generator {VERSION}: 2 of 3 checks without fault", ""])
    assert_equal("verdicts", [line[:4] for line in lines[2:]], ["pass", "FAIL", "    "])
    assert "2.0000  <= 1  [why]" in lines[3]


def test_main(monkeypatch, tmp_path, capsys):
    checks = [Check("a", .5, "<= 1", True), Check("b", 2.0, "<= 1", False, "why")]
    asked = []
    monkeypatch.setattr(report, "run", lambda *given: asked.append(given) or checks)
    path, kept = tmp_path / "audit.json", tmp_path / "audit.txt"
    words = ["--subjects", "300", "--seed", "4", "--json", str(path), "--out", str(kept)]
    assert_equal("status", report.main(words), 1)
    assert_equal("asked", asked, [(300, 4)])
    printed = capsys.readouterr().out
    assert "1 of 2 checks without fault" in printed
    assert_equal("kept", kept.read_text(),
                 f"python -m data_synth audit {' '.join(words)}\n\n{printed}")
    saved = json.loads(path.read_text())
    assert_equal("saved", (saved["subjects"], saved["seed"], len(saved["checks"])), (300, 4, 2))
    assert_equal("files", sorted(p.name for p in tmp_path.iterdir()), ["audit.json", "audit.txt"])
    checks.pop()
    assert_equal("status", report.main([]), 0)


def test_main_prints_the_graph(capsys):
    assert_equal("status", report.main(["--graph"]), 0)
    assert_equal("printed", capsys.readouterr().out, graph.document())


@pytest.mark.parametrize("words", [["--subjects", "50"], ["--seed", "-1"], ["--subjects", "x"],
                                   ["--out", "/none/a.txt"]])
def test_main_refuses(words, capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(words)
    assert_equal("status", stop.value.code, 2)
    assert words[1] in capsys.readouterr().err


def test_run_order(monkeypatch, plain):
    """`run` calls every part once, in the order of the file's head."""
    called = []
    def part(name):
        return lambda *given: called.append(name) or [Check(name, 0, "", True)]
    for name in ("conditional_independence", "permuted_pairs", "dose", "matched_retrieval",
                 "nuisance_retrieval", "arrays"):
        monkeypatch.setattr(report, name, part(name))
    monkeypatch.setattr(report, "measure", lambda *given, **options: plain)
    monkeypatch.setattr(report, "dose_cohorts", lambda *given: [])
    monkeypatch.setattr(interventions, "seeds", part("seeds"))
    monkeypatch.setattr(interventions, "mechanisms", part("mechanisms"))
    monkeypatch.setattr(sampling, "check", part("sampling"))
    names = [check.name for check in report.run(120, 0)]
    assert_equal("order", names, called)
    assert_equal("parts", names, [
        "seeds", "mechanisms", "sampling", "conditional_independence", "permuted_pairs", "dose",
        "matched_retrieval", "nuisance_retrieval", "arrays"])


def test_results_file_is_the_output_of_this_version():
    """`head -1 FILE | sh` makes it again; the prose beside it tells the same."""
    path = ROOT / "data_synth" / "audit" / f"results-{VERSION}.txt"
    command, empty, summary, _, *checks = path.read_text("utf-8").splitlines()
    assert command == ("python -m data_synth audit --subjects 2000 --out "
                       f"{path.relative_to(ROOT).as_posix()}") and not empty
    assert_equal("summary", summary, f"2,000 subjects, seed 0, generator {VERSION}: "
                 f"{len(checks)} of {len(checks)} checks without fault")
    assert all(line.startswith(("pass  (", "pass  ", "      (vii)")) for line in checks)
    for part in ("(i)", "(ii)", "(iii)", "(iv)", "(v)", "(vi)", "(vii)", "new ECG nuisances",
                 "same nuisance seeds", "border pixels", "file order"):
        assert any(line[6:].startswith(part) for line in checks), part
    assert f"{len(checks)} checks" in (path.parent / "README.md").read_text("utf-8")
