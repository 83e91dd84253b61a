"""The realism report: measurements, statistics, targets, models, the real record, the pictures."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from data_synth import __main__ as command
from data_synth import simulate_one
from data_synth.ecg.leads import DOWER, twelve_leads
from data_synth.realism import gallery, measurement, real_record, report, statistics
from data_synth.realism.delineation import delineate
from data_synth.realism.measurement import mask_measures, record_statistics
from data_synth.realism.report import Result
from data_synth.realism.targets import GROUPS, ROWS, Row
from tests.support.helpers import SHARED, assert_close, assert_equal, assert_shape

COUNT = 200
NOTHING = ("dm", "cad", "af", "af_now", "dcm", "lbbb", "rbbb", "mi", "scar_size",
           "scar_territory")


def row(statistic, columns, group="all", low=0.0, high=1.0):
    return Row("0", "a quantity", statistic, columns, group, "", low, high, "nowhere")


def people(n=4000, seed=0, **columns):
    """A table of healthy persons with the given columns."""
    rng = np.random.default_rng(seed)
    table = {name: np.zeros(n) for name in NOTHING}
    table.update(male=(rng.random(n) < .5).astype(float), age=rng.normal(64, 8, n),
                 height=rng.normal(170, 9, n), bmi=rng.normal(27, 4, n),
                 sbp=rng.normal(137, 17, n), bsa=rng.normal(1.9, .2, n), lvmi=np.full(n, 45.0))
    for name, make in columns.items():
        table[name] = make(table, rng)
    return table


def beats(forces, seconds=10.0, width=.09):
    """[12, T]: triangular QRS complexes at 1 s with the given dipoles, and a T wave."""
    t = np.arange(round(500 * seconds)) / 500
    eight = np.zeros((8, len(t)))
    for k, force in enumerate(forces):
        near = np.abs(t - .5 - k) / (width / 2)
        eight += np.outer(DOWER @ np.asarray(force), np.maximum(0, 1 - near))
        eight += np.outer(DOWER @ (.2, .15, -.1), np.exp(-.5 * ((t - .8 - k) / .035) ** 2))
    return twelve_leads(eight)


def ring(endo, epi, endo_es, epi_es, right=0, centre=104.5):
    """[3, 210, 210] of discs around a centre, radii in mm, and a block of RV blood (pixels)."""
    y, x = np.mgrid[:210, :210] - np.reshape(centre, (-1, 1, 1))
    rho = 1.8 * np.hypot(y, x)
    labels = np.zeros((3, 210, 210), np.uint8)
    for k, (inner, outer) in enumerate(((endo, epi), (0, 0), (endo_es, epi_es))):
        labels[k][rho < outer] = 2
        labels[k][rho < inner] = 1
    labels[0].reshape(-1)[:right] = 3
    return labels


# ---- measurement ---------------------------------------------------------------------------------

def test_mask_measures_of_discs():
    rng = np.random.default_rng(0)
    discs = [mask_measures(ring(26, 32, 17, 26.5, 700, 104 + rng.random(2)), 2.0)
             for _ in range(12)]  # a grid of 1.8 mm counts a disc to about 1 %
    got = {name: np.mean([d[name] for d in discs]) for name in discs[0]}
    assert set(got) == set(measurement.MASK)
    assert_close("WT ED", got["wt_ed"], 6.0, atol=.15)
    assert_close("WT ES", got["wt_es"], 9.5, atol=.15)
    assert_close("thickening", got["thickening"], 3.5, atol=.25)
    assert_close("Ecc", got["ecc"], 50 * (17 / 26 - 1 + 26.5 / 32 - 1), atol=.7)
    assert_close("Err", got["err"], 100 * (9.5 / 6 - 1), atol=6)
    assert_close("area", got["area_change"], 100 * (1 - (17 / 26) ** 2), atol=1)
    assert_close("index", got["radius_index"], 13.0, atol=.1)
    half = 26 / np.sqrt(1 - .45 ** 2)
    assert_close("LVEDV", got["lvedv"], 2 / 3 * np.pi * 3.2 * half ** 3 / 1000, rtol=.02)
    assert_close("RVEDV", got["rvedv"], 700 * 3.24 * .75 * .95 * 3.2 * half / 1000, rtol=.02)


def test_mask_mass_inverts_the_ellipsoid():
    """Radius and gap at .45 of the length of an ellipsoid with h = 7 give its mass again."""
    half, thick, length = 29.0, 7.0, 3.2 * 29.0
    endo = half * np.sqrt(1 - .45 ** 2)
    epi = (half + thick) * np.sqrt(1 - (.45 * length / (length + .6 * thick)) ** 2)
    outer = (half + thick) ** 2 * (length + .6 * thick) - half ** 2 * length
    got = mask_measures(ring(endo, epi, 18, 28), 1.9)["lvm"]
    assert_close("LVM", got, 1.05 * 2 / 3 * np.pi * outer / 1000, rtol=.03)


def test_record_statistics():
    rng = np.random.default_rng(0)
    ecg = beats([(.8, .5, .3)] * 10)
    seen = delineate(ecg)
    plain = record_statistics(ecg, 500.0, seen)
    assert set(plain) == set(measurement.RECORD)
    assert plain["beyond_three"] < 1e-9 and plain["qrs_variability"] < .02
    noisy = ecg + .020 * rng.standard_normal(ecg.shape)
    got = record_statistics(noisy, 500.0, delineate(noisy))
    assert_close("noise", got["noise"], 20 * np.sqrt(.9), rtol=.12)
    assert plain["noise"] < 1 and got["beyond_three"] > plain["beyond_three"]
    t = np.arange(5000) / 500
    slow = record_statistics(ecg + .2 * np.sin(2 * np.pi * .1 * t), 500.0, seen)
    assert slow["wander"] - plain["wander"] > 80


def test_qrs_variability_is_the_spread_of_the_beats():
    forces = [np.array([.8, .5, .3]) * (.9 + .1 * (k % 3)) for k in range(10)]  # median 1
    ecg = beats(forces)
    got = record_statistics(ecg, 500.0, delineate(ecg))
    assert_close("variability", got["qrs_variability"], .1 * np.sqrt(2 / 3), atol=.008)


@pytest.mark.parametrize("slope", [-1.0, -2.0, -3.0])
def test_spectrum_slope(slope):
    rng = np.random.default_rng(1)
    f = np.maximum(np.fft.rfftfreq(5000, 1 / 500), .1)
    noise = rng.standard_normal((8, len(f), 2)) @ (1, 1j)
    x = np.fft.irfft(noise * f ** (slope / 2), 5000)
    assert_close("slope", measurement._slope(x, 500.0), slope, atol=.2)


def test_f_waves_are_found_between_irregular_beats():
    rng = np.random.default_rng(3)
    t = np.arange(5000) / 500
    start = .4 + np.cumsum(.45 + rng.gamma(5, .06, 14))
    eight = np.zeros((8, 5000))
    for s in start[start < 9.7]:
        eight += np.outer(DOWER @ (.8, .5, .3), np.maximum(0, 1 - np.abs(t - s) / .045))
    ecg = twelve_leads(eight) + .003 * rng.standard_normal((12, 5000))
    ecg[6] += .06 * np.sin(2 * np.pi * 6.3 * t)
    seen = delineate(ecg)
    seen = seen._replace(values={**seen.values, "p_seen": 0.0, "rr_cv": .2})
    rate, height = measurement._f_wave(ecg, seen)
    assert_close("frequency", rate, 6.3, atol=.15)
    assert_close("amplitude", height, .06, atol=.02)
    regular = delineate(beats([(.8, .5, .3)] * 10))
    assert np.isnan(measurement._f_wave(ecg, regular)).all()


@pytest.fixture(scope="module")
def measured():
    extra = report.low_ejection_subjects(COUNT, 0, 6)
    return measurement.measure([*range(COUNT), *extra], 0)


def test_measure_columns_and_order(measured):
    table = measured.table
    assert set(measurement.COLUMNS) <= set(table)
    assert_shape("beats", measured.beats, (COUNT + 6, 8, measurement.BEAT_SAMPLES))
    one = simulate_one(7, 0)
    assert_equal("LVM", table["LVM"][7], one.phenotypes[5])
    assert_equal("age", table["age"][7], one.latents["age"])
    assert_equal("QRS", table["ecg.qrs"][7], delineate(one.ecg).values["qrs"])
    assert_equal("S V1", table["ecg.s.V1"][7], delineate(one.ecg).leads[2, 6])
    assert_equal("blood", table["mask.lvedv"][7],
                 mask_measures(one.segmentation, one.latents["bsa"])["lvedv"])
    assert_equal("lvmi", table["lvmi"], table["LVM"] / table["bsa"])
    assert (table["LVEF"][COUNT:] < 42).all()


def test_measure_does_not_depend_on_workers(measured, monkeypatch):
    monkeypatch.setattr(measurement, "SUBJECTS_A_TASK", 3)
    seen = []
    got = measurement.measure(range(6), 0, workers=2, progress=lambda *x: seen.append(x))
    assert seen == [(3, 6), (6, 6)]
    for name in ("LVM", "ecg.qrs", "mask.wt_ed", "record.noise"):
        assert_equal(name, got.table[name], measured.table[name][:6])
    assert_equal("beats", got.beats, measured.beats[:6])


def test_a_record_without_beats_is_missing_not_fatal():
    one = simulate_one(0, 0)
    numbers, beat = measurement.measure_one(one._replace(ecg=np.zeros_like(one.ecg)))
    column = dict(zip(measurement.COLUMNS, numbers))
    assert np.isnan(column["ecg.qrs"]) and np.isnan(column["record.noise"])
    assert column["mask.wt_ed"] > 3 and not beat.any()


# ---- statistics ----------------------------------------------------------------------------------

@pytest.mark.parametrize("statistic, columns, group, want, tolerance", [
    ("mean", ("y",), "all", 10.0, .1), ("sd", ("y",), "all", 2.0, .1),
    ("median", ("y",), "all", 10.0, .15), ("p98", ("y",), "all", 10 + 2.054 * 2, .4),
    ("p2", ("y",), "all", 10 - 2.054 * 2, .4), ("percent", ("male",), "all", 50.0, 3),
    ("difference", ("tall",), "men | women", 13.0, .3),
    ("ratio", ("tall",), "men | women", 176 / 163, .003),
    ("r", ("y", "copy"), "all", .8, .03), ("log slope", ("grows", "age", "10"), "all", -4.0, .4),
    ("slope", ("line", "sbp", "18"), "all", 3.6, .2), ("r2", ("line",), "all", .74, .04),
    ("effect", ("ill", "dm"), "all", 2.0, .25), ("log effect", ("logill", "dm"), "all", 5.0, .7),
    ("at least 3.5", ("y",), "all", 99.94, .2), ("mean RR", ("rate",), "all", 1000, 1)])
def test_statistics(statistic, columns, group, want, tolerance):
    table = people(
        y=lambda t, g: g.normal(10, 2, 4000), tall=lambda t, g: g.normal(163 + 13 * t["male"], 3),
        copy=lambda t, g: .8 * (t["y"] - 10) / 2 + .6 * g.standard_normal(4000),
        grows=lambda t, g: np.exp(np.log(.96) / 10 * t["age"] + .02 * g.standard_normal(4000)),
        line=lambda t, g: .2 * t["sbp"] + 2 * g.standard_normal(4000),
        rate=lambda t, g: np.full(4000, 60.0),
        dm=lambda t, g: (g.random(4000) < .3) * 1.0,
        ill=lambda t, g: 2 * t["dm"] + t["age"] * .1 + g.standard_normal(4000),
        logill=lambda t, g: np.exp(np.log(1.05) * t["dm"] + .05 * g.standard_normal(4000)))
    value, error = statistics.evaluate(row(statistic, columns, group), table)
    assert_close(statistic, value, want, atol=tolerance)
    assert 0 <= error < max(tolerance, 1)


def test_standard_error_of_a_mean():
    errors = []
    for seed in range(12):
        table = people(1000, seed, y=lambda t, g: g.normal(0, 3, 1000))
        errors.append(statistics.evaluate(row("mean", ("y",)), table)[1])
    assert_close("se", np.mean(errors), 3 / np.sqrt(1000), rtol=.2)


def test_missing_values_and_small_groups():
    table = people(100, y=lambda t, g: np.where(np.arange(100) < 50, np.nan, 4.0))
    assert_equal("mean", statistics.evaluate(row("mean", ("y",)), table)[0], 4.0)
    assert np.isnan(statistics.evaluate(row("mean", ("y",), "AF now"), table)[0])


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    score, label = rng.integers(0, 6, 40).astype(float), (rng.random(40) < .4).astype(float)
    pairs = [(a > b) + .5 * (a == b) for a in score[label > .5] for b in score[label < .5]]
    assert_close("AUC", statistics.auc(score, label), np.mean(pairs), atol=1e-12)
    assert np.isnan(statistics.auc(score, np.zeros(40)))


def test_every_row_can_be_measured(measured):
    for entry in ROWS:
        assert entry.low < entry.high, entry
        assert entry.source and entry.target, entry
        assert all(name in GROUPS for name in entry.group.split(" | ")), entry
        columns = [c for c in entry.columns if c in measured.table]
        assert len(columns) == len(entry.columns) - ("slope" in entry.statistic), entry
        if entry.statistic.startswith("model"):
            continue
        parts = 2 if entry.statistic in ("difference", "ratio", "median ratio", "auc") else 1
        assert entry.statistic in statistics.STATISTICS, entry
        assert len(entry.group.split(" | ")) == parts, entry
    names = [(r.section, r.quantity, r.group, r.statistic, r.columns) for r in ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("value, error, want", [
    (.5, .1, "yes"), (0., .1, "yes"), (1.1, .1, "within error"), (-.3, .1, "NO"),
    (1.3, .1, "NO"), (np.nan, np.nan, "not measured"), (2.0, np.nan, "NO")])
def test_inside(value, error, want):
    assert_equal("inside", Result(row("mean", ()), value, error).inside, want)


# ---- the whole -----------------------------------------------------------------------------------

STABLE = ("heart rate, SD", "PR, 98 % limit, women", "QTc, women", "P duration", "S in V1",
          "T in aVL", "Sokolow-Lyon", "frontal QRS axis", "T axis", "LVEF, mean", "LVEDV, mean",
          "LVESV, mean", "LVM, mean", "LVMi, mean", "RVEDV, mean", "height, mean", "BMI, mean",
          "LVEDV, LVEDV of the mask", "LVM, LVM of the mask", "Ecc global, mean",
          "R2 of demographics, LVM", "SD of RR, sinus", "P seen in sinus rhythm",
          "LVEDV and RVEDV", "CAD", "DM", "RBBB", "Sokolow and LVMi", "BMI and QRS axis")


def test_population_is_in_its_bands(measured):
    """Band widened by four standard errors of 200 subjects."""
    table = {name: column[:COUNT] for name, column in measured.table.items()}
    checked = 0
    for entry in ROWS:
        if entry.quantity not in STABLE:
            continue
        value, error = statistics.evaluate(entry, table)
        assert entry.low - 4 * error <= value <= entry.high + 4 * error, (
            f"{entry.quantity}, {entry.group}={value:.4g} (se {error:.2g}), but should be in "
            f"{entry.low}..{entry.high}")
        checked += 1
    assert checked >= len(STABLE)


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


def test_report_text_and_json(measured, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(measurement, "measure", lambda *a, **k: measured)
    monkeypatch.setattr(report, "low_ejection_subjects", lambda *a: [0] * 6)
    results = report.report(COUNT, 0)
    assert_equal("rows", len(results), len(ROWS) + len(real_record.STATISTICS)
                 + len(real_record.AGREEMENT))
    assert [r.row for r in results[:len(ROWS)]] == list(ROWS)
    models = [r for r in results if r.row.statistic == "model r"]
    assert len(models) == 8 and all(-1 <= r.value <= 1 for r in models)
    path = tmp_path / "report.json"
    assert command.main(["report", "--subjects", str(COUNT), "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "| 2.1 | LVEDV, mean, ml | men |" in out and "not measured" in out
    stored = json.loads(path.read_text())
    assert stored["subjects"] == COUNT and len(stored["rows"]) == len(results)
    assert all(r["obtained"] is None or np.isfinite(r["obtained"]) for r in stored["rows"])
    assert len([line for line in out.splitlines() if line.startswith("| ")]) == len(results) + 1


@pytest.mark.parametrize("words, message", [
    (["--subjects", "10"], "at least 200"), (["--workers", "0"], "1..256"),
    (["--subjects", "300", "--seed", "-1"], "seed")])
def test_bad_options_are_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["report", *words])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_low_ejection_subjects():
    found = report.low_ejection_subjects(1000, 0, 3)
    assert len(found) == 3 and found == sorted(set(found)) and found[0] >= 1000


# ---- the real record -----------------------------------------------------------------------------

def record():
    path = SHARED / "real" / "ptb_s0010_re.npz"
    if not path.is_file():
        pytest.skip("real record not available: ptb_s0010_re.npz")
    with np.load(path) as file:
        return file["ecg_mv"].astype(float), file["frank_xyz_mv"].astype(float), 1000.0


def test_constants_of_the_real_record():
    ecg, frank, rate = record()
    got = real_record.statistics_of(real_record.halve(ecg, rate))
    for name, want in real_record.STATISTICS.items():
        assert_close(name, got[name], want, rtol=2e-3)
    for lead, want in real_record.AGREEMENT.items():
        assert_close(lead, real_record.lead_agreement(ecg, frank, rate)[lead], want, atol=1e-3)
    best = real_record.best_matrix(ecg, frank, rate)
    for lead, want in real_record.BEST.items():
        got_r = real_record.lead_agreement(ecg, frank, rate, best)[lead]
        assert_close(lead, got_r, want, atol=1e-3)
        assert got_r >= real_record.AGREEMENT[lead]


def test_lead_matrix_knows_the_directions_of_the_frank_leads():
    """Turning any Frank lead round makes the mean agreement worse."""
    ecg, frank, rate = record()
    right = np.mean(list(real_record.lead_agreement(ecg, frank, rate).values()))
    for axis in range(3):
        turned = frank.copy()
        turned[axis] *= -1
        wrong = np.mean(list(real_record.lead_agreement(ecg, turned, rate).values()))
        assert wrong < right - .05, f"axis {axis}: {wrong:.3f}, right {right:.3f}"


def test_lead_agreement_of_a_dipole_is_one():
    rng = np.random.default_rng(0)
    frank = rng.standard_normal((3, 4000))
    ecg = twelve_leads(DOWER @ frank)
    for lead, r in real_record.lead_agreement(ecg, frank, 1000.0).items():
        assert_close(lead, r, 1.0, atol=1e-9)
    assert_close("matrix", real_record.best_matrix(ecg, frank, 1000.0), DOWER, atol=1e-9)


def test_simulated_traces_bracket_the_real_record(measured):
    table = measured.table
    for name in ("qrs_variability", "beyond_three", "noise", "wander"):
        low, high = np.nanpercentile(table[f"record.{name}"], (1, 99))
        assert low < real_record.STATISTICS[name] < high, f"{name}: {low}..{high}"


def test_halve_refuses_another_rate():
    with pytest.raises(ValueError, match="rate=500"):
        real_record.halve(np.zeros((12, 10)), 500)
    assert_equal("means", real_record.halve(np.arange(6.0)[None], 1000)[0], [.5, 2.5, 4.5])


# ---- pictures ------------------------------------------------------------------------------------

def test_find_reads_physiology_only():
    subject = gallery.find("left_bundle_branch_block", 0)
    assert simulate_one(subject, 0).latents["lbbb"] == 1
    with pytest.raises(ValueError, match="finding='flutter'"):
        gallery.find("flutter")
    with pytest.raises(ValueError, match="no dcm among subjects 0..2"):
        gallery.find("dcm", 0, 0, 3)


def test_sheet_and_frames_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    one = simulate_one(0, 0)
    assert "LVEF" in gallery.describe(one)
    for picture in (gallery.sheet, gallery.frames):
        path = tmp_path / f"{picture.__name__}.png"
        picture(path, one, "a title")
        assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 20_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frames.png", "sheet.png"]


def test_a_gallery_has_two_pictures_for_each_finding(tmp_path, monkeypatch, capsys, measured):
    """Through the command, with the drawing itself replaced: everyone shown has the finding."""
    shown = []

    def picture(path, one, title):
        shown.append((path.name, title, one.latents))
        path.write_bytes(b"picture")

    few = {name: gallery.FINDINGS[name] for name in ("normal", "fibrillation", "infarct_inferior")}
    monkeypatch.setattr(gallery, "FINDINGS", few)
    monkeypatch.setattr(gallery, "sheet", picture)
    monkeypatch.setattr(gallery, "frames", picture)
    monkeypatch.setattr(gallery, "available", lambda: True)
    monkeypatch.setattr(measurement, "measure", lambda *a, **k: measured)
    monkeypatch.setattr(report, "low_ejection_subjects", lambda *a: [0] * 6)
    folder = tmp_path / "new" / "gallery"
    assert command.main(["report", "--subjects", str(COUNT), "--gallery", str(folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-6:] == [str(folder / name) for name, _, _ in shown]
    assert [name for name, _, _ in shown] == [
        f"{finding}_{kind}.png" for finding in few for kind in ("ecg", "cine")]
    for name, title, latents in shown:
        finding = name.rsplit("_", 1)[0]
        assert few[finding](latents) and title.startswith(finding.replace("_", " ") + ", subject")
    assert "scar" in shown[4][1] and "scar" not in shown[0][1]


def test_pictures_without_matplotlib_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not gallery.available()
    with pytest.raises(SystemExit) as stop:
        command.main(["report", "--gallery", str(tmp_path / "g")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "pip install" in error and error.count("\n") == 1
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        gallery.sheet(tmp_path / "a.png", simulate_one(0, 0), "a title")
    assert not list(tmp_path.iterdir())


def test_area_under_the_curve_needs_three_positives_in_each_part():
    x, parts = np.arange(30.0)[:, None], np.split(np.arange(30), 3)
    label = (np.arange(30) % 4 == 0).astype(float)
    value, error = report._held_auc(x, label, parts)
    assert np.isnan(value) and np.isnan(error)  # the middle part holds two
    label[11] = 1
    value, error = report._held_auc(x, label, parts)
    assert 0 <= value <= 1 and 0 < error < 1


def test_progress_of_the_report_is_told_at_the_end(monkeypatch, capsys):
    def report(subjects, seed, workers, progress):
        progress(100, subjects)
        progress(subjects, subjects)
        return []

    monkeypatch.setattr(report, "report", report)
    assert command.main(["report", "--subjects", "300"]) == 0
    assert capsys.readouterr().err.splitlines() == ["300 of 300 subjects, 0 s"]
