"""The audit: silent on the generator, and loud on shortcuts planted on purpose."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from data_synth import simulate
from data_synth.audit import graph, interventions, report, sampling
from data_synth.audit.check import Check
from data_synth.audit.interventions import Model
from data_synth.audit.measures import Measured, measure
from data_synth.cmr import cine
from data_synth.ecg import electrocardiogram
from data_synth.heart import geometry, physiology
from data_synth.simulation import Simulation
from data_synth.streams import generator
from tests.support.helpers import assert_equal, assert_shape

N = 400
# Of 400 people eleven have an infarct, too few to learn what it does to either modality, so its
# large effects would stay in both residuals. The audit's 2,000 subjects hold everyone.
SUBJECTS = [k for k in range(2 * N) if not physiology.sample(k, 0)["mi"]][:N]
CAD = 0


@pytest.fixture(scope="module")
def group() -> Simulation:
    return simulate(SUBJECTS)


@pytest.fixture(scope="module")
def plain(group) -> Measured:
    return measure(stored(group), range(N), 0)


@pytest.fixture(scope="module")
def uncoupled() -> Measured:
    return measure(simulate, SUBJECTS, 0, coupling=0.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def stored(group: Simulation, change=lambda part: part):
    """A stand-in for `simulate` that gives rows of a group after a change of its arrays."""
    def chosen(subjects, seed, **options):
        rows = np.array(subjects)
        return change(Simulation(*(array[rows] for array in group[:-1]),
                                 {name: value[rows] for name, value in group.latents.items()}))
    return chosen


def failed(checks: list[Check], words: str) -> list[str]:
    """Names of the failed checks that contain the words."""
    assert any(words in check.name for check in checks), [check.name for check in checks]
    return [check.name for check in checks if check.passed is False and words in check.name]


def shared_noise(subjects, seed, coupling=1.0, ecg_noise=1.0, ecg_seed=None, cmr_seed=None):
    """The image drawn with the numbers of the ECG's stream."""
    true = simulate(subjects, seed, coupling=coupling, ecg_seed=ecg_seed)
    for row, subject in enumerate(subjects):
        person = {name: value[row] for name, value in true.latents.items()}
        heart = geometry.realise(person, generator(seed, subject, "anatomy"))
        stream = generator(seed if ecg_seed is None else ecg_seed, subject, "ecg")
        true.cmr[row], true.segmentation[row] = cine.render(heart, stream)
    return true


# ---- the generator passes ------------------------------------------------------------------------

def test_seeds():
    checks = interventions.seeds(Model(), [3, 11], 4)
    assert_equal("checks", [(c.number, c.passed) for c in checks], [(0.0, True)] * 2)


def test_mechanisms():
    checks = interventions.mechanisms(Model(), [7], 0)
    assert_equal("failed", [c.name + c.detail for c in checks if not c.passed], [])
    assert_equal("checks", len(checks), 4 * 3 + 3)


def test_sampling():
    checks = sampling.check(0)
    assert_equal("failed", [c.detail for c in checks if not c.passed], [])
    assert checks[0].bound == "0 of 25" and int(checks[1].bound.split()[-1]) > 100


def test_statistics(plain, uncoupled):
    checks = [*report.conditional_independence(plain, rng()), *report.permuted_pairs(plain, rng()),
              *report.matched_retrieval(plain, uncoupled), *report.arrays(plain, uncoupled, rng())]
    assert_equal("failed", [c for c in checks if c.passed is False
                            and "control" not in c.name], [])
    assert_equal("checks", len(checks), 4 + 3 + 4 + 6)


def test_dose(plain, uncoupled):
    checks = report.dose(uncoupled, uncoupled, plain, plain, rng())
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


def test_shared_noise_is_caught_by_seeds():
    checks = interventions.seeds(Model(simulate=shared_noise), [0, 1], 0)
    assert_equal("numbers", [c.number for c in checks], [2.0, 2.0])
    assert not any(c.passed for c in checks)


def test_shared_noise_is_caught_by_independence(same_noise):
    assert failed(report.conditional_independence(same_noise, rng()), "(iv)")


def test_shared_noise_is_caught_by_retrieval(same_noise):
    model = Model(simulate=shared_noise)
    checks = report.nuisance_retrieval(model, same_noise, 0)
    assert failed(checks, "same nuisance seeds")


def test_true_nuisances_leave_retrieval():
    checks = report.nuisance_retrieval(Model(), measure(simulate, range(200), 0), 0)
    assert_equal("failed", [c for c in checks if not c.passed], [])


def test_brightness_tied_to_voltage(group):
    def change(part):
        voltage = part.ecg.std(axis=(1, 2))
        factor = 1 + .25 * np.clip((voltage - .2) / .08, -2, 2)
        return part._replace(cmr=part.cmr * factor[:, None, None, None].astype(np.float32))
    checks = report.conditional_independence(measure(stored(group, change), range(N), 0), rng())
    assert failed(checks, "mean R2") and failed(checks, "largest R2")


def test_brightness_tied_to_mass():
    def dim(heart, stream):
        image, mask = cine.render(heart, stream)
        return image * np.float32(1 - .002 * heart.lv_mass), mask
    checks = interventions.mechanisms(Model(cine=dim), [7], 0)
    details = {c.name: c.detail for c in checks if not c.passed}
    name = "(iii) targets -> heart, image, phenotypes: undeclared"
    assert "lvm_target->image:chest" in details[name]
    assert "(iii) do(x) leaves the brightness of blood" in details


def test_undeclared_edge_to_the_ecg():
    def louder(latents, stream, coupling, noise):
        ecg = electrocardiogram.render(latents, stream, coupling, noise)
        return ecg * np.float32(1 + .05 * latents["contractility_e"])
    checks = interventions.mechanisms(Model(ecg=louder), [7], 0)
    details = {c.name: c.detail for c in checks if not c.passed}
    assert_equal("details", details, {
        "(iii) physiology -> rendered ECG: undeclared": "contractility_e->ecg:recording",
        "(iii) do(x) at coupling 0 leaves the ECG bit-identical": "contractility_e"})


@pytest.mark.parametrize("edge, kind", [
    (("bmi", "ef_target"), "silent"), (("dcm", "lvm_target"), "undeclared"),
    (("sbp", "lvedv_target"), "wrong sign")])
def test_a_wrong_declaration(monkeypatch, edge, kind):
    """An edge too many, an edge too few, an edge turned round."""
    edges = [e for e in graph.EDGES if (e.cause, e.effect) != edge]
    if kind != "undeclared":
        edges.append(graph.Edge(*edge, -1, "", "own"))
    monkeypatch.setattr(graph, "EDGES", tuple(edges))
    targets = interventions._mechanisms(Model())[0]
    moves = interventions.differences(targets, [7], 0)
    found = {name for name in ("undeclared", "silent", "wrong_sign")
             if edge in getattr(moves, name)}
    assert_equal("found", found, {kind.replace(" ", "_")})


def test_coupling_that_never_ends(plain):
    checks = report.dose(plain, plain, plain, plain, rng())
    assert failed(checks, "LVM: r beyond demographics at coupling 0")
    render = electrocardiogram.render
    model = Model(ecg=lambda x, rng_ecg, coupling, noise: render(
        x, rng_ecg, .3 + .7 * coupling, noise))
    silence = interventions._silence_at_zero(model, [7], 0)
    assert not silence.passed and "lvm" in silence.detail


def test_falling_dose(plain, uncoupled):
    checks = report.dose(uncoupled, plain, uncoupled, plain, rng())
    assert failed(checks, "LVM: smallest step")


def test_label_in_a_border_pixel(group, uncoupled):
    def change(part):
        image = part.cmr.copy()
        image[:, 1, 0, 77] += .2 * part.labels[:, CAD].astype(np.float32)
        return part._replace(cmr=image)
    marked = measure(stored(group, change), range(N), 0)
    assert_equal("failed", len(failed(report.arrays(marked, uncoupled, rng()),
                                      "border pixels -> labels")), 1)


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


@pytest.mark.parametrize("change, name", [
    (lambda p: {**p, "height": p["height"] + .2 * (p["age"] - 64)}, "undeclared"),
    (lambda p: {**p, "sbp": p["sbp"] - .9 * (p["age"] - 64)}, "not found"),
    (lambda p: {**p, "heart_rate": p["heart_rate"] + p["size_u"]}, "undeclared")])
def test_sampling_planted(change, name):
    def sample(subject, seed):
        return change(physiology.sample(subject, seed))
    assert failed(sampling.check(0, sample, 8000), name)


# ---- the command ---------------------------------------------------------------------------------

def test_lines():
    checks = [Check("a", .5, "<= 1", True), Check("b", 2, "<= 1", False, "why"),
              Check("c", 3, "reported", None)]
    text = report.lines(checks)
    assert_equal("verdicts", [line[:4] for line in text], ["pass", "FAIL", "    "])
    assert "2.0000  <= 1  [why]" in text[1]


def test_main(monkeypatch, tmp_path, capsys):
    checks = [Check("a", .5, "<= 1", True), Check("b", 2.0, "<= 1", False, "why")]
    asked = []
    monkeypatch.setattr(report, "run", lambda *given: asked.append(given) or checks)
    path = tmp_path / "audit.json"
    status = report.main(["--subjects", "300", "--seed", "4", "--json", str(path)])
    assert_equal("status", status, 1)
    assert_equal("asked", asked, [(300, 4)])
    assert "1 of 2 checks without fault" in capsys.readouterr().out
    saved = json.loads(path.read_text())
    assert_equal("saved", (saved["subjects"], saved["seed"], len(saved["checks"])), (300, 4, 2))
    assert_equal("files", [p.name for p in tmp_path.iterdir()], ["audit.json"])
    checks.pop()
    assert_equal("status", report.main([]), 0)


@pytest.mark.parametrize("words", [["--subjects", "50"], ["--seed", "-1"], ["--subjects", "x"]])
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
    monkeypatch.setattr(report, "dose_cohorts", lambda *given: ())
    monkeypatch.setattr(interventions, "seeds", part("seeds"))
    monkeypatch.setattr(interventions, "mechanisms", part("mechanisms"))
    monkeypatch.setattr(sampling, "check", part("sampling"))
    names = [check.name for check in report.run(120, 0)]
    assert_equal("order", names, called)
    assert_equal("parts", names, [
        "seeds", "mechanisms", "sampling", "conditional_independence", "permuted_pairs", "dose",
        "matched_retrieval", "nuisance_retrieval", "arrays"])


# ---- measurements and estimators -----------------------------------------------------------------

def test_measure(plain, group):
    assert_shape("ecg", plain.ecg, (N, 71))
    assert_shape("image", plain.image, (N, 49))
    assert_shape("image margin", plain.image_margin, (N, 3 * 836 + 12))
    assert all(np.isfinite(value).all() for value in plain[:-1])
    np.testing.assert_array_equal(plain.labels, group.labels)
    rate = np.corrcoef(plain.ecg[:, 0], plain.latents["heart_rate"])[0, 1]
    assert rate > .95, rate
    assert_equal("area", plain.image[3, 0], (group.segmentation[3, 0] == 1).sum())
    assert_equal("mean", plain.ecg_margin[2, 50], group.ecg[2, 2].mean())
    border = group.cmr[4, 1][cine_border()]
    np.testing.assert_array_equal(np.sort(plain.image_margin[4, 836:1672]), np.sort(border))


def cine_border() -> np.ndarray:
    inside = np.zeros((210, 210), bool)
    inside[1:-1, 1:-1] = True
    return ~inside


def test_model_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Model().ecg = None


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
