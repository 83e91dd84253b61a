"""A real record beside the simulated ones: a made one of known answers, and one from PTB."""

from __future__ import annotations

import numpy as np
import pytest

from data_synth import simulate_one
from data_synth.ecg.leads import DOWER, EIGHT, EIGHT_ROWS, twelve_leads
from data_synth.realism import real_record
from data_synth.realism.delineation import delineate
from data_synth.realism.measurement import RECORD, record_statistics
from tests.support.helpers import assert_close, assert_equal


def made(seconds=30, rate=1000, **changes):
    """Arrays of a file: simulated beats; leads are Dower's of the Frank leads, V6 turned round."""
    one = simulate_one(0, 0)
    frank = np.linalg.pinv(DOWER) @ one.ecg[EIGHT_ROWS]
    frank = np.tile(np.repeat(frank, rate // 500, axis=1), seconds // 10)
    ecg = twelve_leads(DOWER @ frank)
    ecg[11] *= -1
    return {"ecg_mv": ecg.astype(np.float32), "frank_xyz_mv": frank.astype(np.float32),
            "fs": np.int64(rate), **changes}


def test_read(tmp_path):
    arrays = made()
    np.savez(tmp_path / "mine.npz", **arrays)
    got = real_record.read(tmp_path / "mine.npz")
    assert (got.name, got.rate, got.ecg.dtype) == ("mine", 1000, np.float64)
    assert_equal("ecg", got.ecg, arrays["ecg_mv"])
    assert_equal("frank", got.frank, arrays["frank_xyz_mv"])


@pytest.mark.parametrize("changes, message", [
    ({"fs": np.int64(250)}, "fs=250, but should be one of"),
    ({"ecg_mv": np.zeros((8, 30000))}, r"ecg_mv is \(8, 30000\)"),
    ({"frank_xyz_mv": np.zeros((3, 29999))}, r"frank_xyz_mv \(3, 29999\)"),
    ({"ecg_mv": np.zeros((12, 900)), "frank_xyz_mv": np.zeros((3, 900))}, "0.9 s, but"),
    ({"fs": np.array([1, 2])}, "no NPZ file with")])
def test_read_refuses(tmp_path, changes, message):
    np.savez(tmp_path / "bad.npz", **made(**changes))
    with pytest.raises(ValueError, match=message):
        real_record.read(tmp_path / "bad.npz")


def test_read_refuses_other_files(tmp_path):
    np.savez(tmp_path / "other.npz", ecg_mv=np.zeros((12, 9)))
    np.save(tmp_path / "other.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other.npz", "other.npy", "text.npz"):
        with pytest.raises(ValueError, match=f"{name} is no NPZ file with ecg_mv"):
            real_record.read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        real_record.read(tmp_path / "none.npz")


@pytest.mark.parametrize("rate", [500, 1000])
def test_rows_of_a_made_record(population, rate):
    """Bounds from the table, values from each strip, r = 1 but for the lead turned round."""
    arrays = made(rate=rate)
    record = real_record.RealRecord("mine", arrays["ecg_mv"].astype(float),
                                    arrays["frank_xyz_mv"].astype(float), rate)
    rows = real_record.rows(population, record)
    assert [row.columns for row, _, _ in rows[:len(RECORD)]] == [(f"record.{n}",) for n in RECORD]
    at_500 = record.ecg if rate == 500 else real_record.halve(record.ecg, rate)
    strip = at_500[:, :5000]  # all strips are alike
    want = record_statistics(strip, 500.0, delineate(strip))
    for row, value, error in rows[:len(RECORD)]:
        column = row.columns[0]
        assert_close(column, value, want[column.removeprefix("record.")], rtol=1e-9)
        assert 0 <= error < 1e-9
        assert_close("band", (row.low, row.high), np.percentile(population[column], (2.5, 97.5)))
    for lead, (row, r, error) in zip(EIGHT, rows[len(RECORD):], strict=True):
        assert row.quantity == f"lead {lead} from Frank leads, r" and row.section == "record"
        assert_close(lead, r, -1.0 if lead == "V6" else 1.0, atol=1e-6)
        assert row.target == "best dipole 1.00" and 0 <= error < 1e-6


def test_errors_are_those_of_the_strips(ptb):
    strips = [ptb.ecg[:, k:k + 10000] for k in (0, 10000, 20000)]
    frank = [ptb.frank[:, k:k + 10000] for k in (0, 10000, 20000)]
    r = [real_record.lead_agreement(*pair, ptb.rate)["V2"]
         for pair in zip(strips, frank, strict=True)]
    table = {f"record.{name}": np.arange(9.0) for name in RECORD}
    error = {row.quantity: error for row, _, error in real_record.rows(table, ptb)}
    assert_close("se", error["lead V2 from Frank leads, r"], np.std(r, ddof=1) / 3 ** .5, rtol=1e-9)
    one = ptb._replace(ecg=strips[0], frank=frank[0])
    assert all(np.isnan(error) for _, _, error in real_record.rows(table, one))


def test_no_dipole_of_dower_but_another_explains_the_record(ptb):
    """As the README says: the matrix gives three of eight leads with r >= .85, the best one all."""
    _, ecg, frank, rate = ptb
    agreement = real_record.lead_agreement(ecg, frank, rate)
    best = real_record.lead_agreement(ecg, frank, rate, real_record.best_matrix(ecg, frank, rate))
    assert [lead for lead, r in agreement.items() if r >= .85] == ["I", "II", "V4"]
    assert min(best.values()) > .92
    assert all(best[lead] >= r for lead, r in agreement.items())


def test_simulated_traces_bracket_the_real_record(ptb, population):
    for name, (value, _) in real_record.statistics_of(
            real_record.halve(ptb.ecg, ptb.rate)).items():
        low, high = np.nanpercentile(population[f"record.{name}"], (1, 99))
        assert low < value < high, f"{name}: {low}..{high}"


def test_lead_matrix_knows_the_directions_of_the_frank_leads(ptb):
    """Turning any Frank lead round makes the mean agreement worse."""
    _, ecg, frank, rate = ptb
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


def test_halve_refuses_another_rate():
    with pytest.raises(ValueError, match="rate=500"):
        real_record.halve(np.zeros((12, 10)), 500)
    assert_equal("means", real_record.halve(np.arange(6.0)[None], 1000)[0], [.5, 2.5, 4.5])
