"""reference.cohort.record: every kind of file, every refusal in one line."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest

from reference.cohort import LEADS
from reference.cohort.record import read_record
from reference.resampling import resample
from tests.support.helpers import SHARED, assert_close, assert_equal, assert_shape


def some_ecg(samples: int = 3000, seed: int = 0) -> np.ndarray:
    """[12, samples] float32 mV, every lead different."""
    ecg = np.random.default_rng(seed).normal(0, 0.4, (12, samples))
    return (ecg + np.linspace(-0.2, 0.3, 12)[:, None]).astype(np.float32)


def save(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("signal_key, rate_key", [
    ("ecg_mv", "fs"), ("ecg", "sampling_rate"), ("trace", "sampling_rate_hz")])
def test_read_npz(tmp_path, signal_key, rate_key):
    ecg = some_ecg()
    path = save(tmp_path / "r.npz", other=np.zeros((3, 5)), **{signal_key: ecg, rate_key: 500})
    got = read_record(path)
    assert got.ecg.dtype == np.float32
    assert_equal("ecg", got.ecg, ecg)
    assert got.sampling_rate == 500.0 and isinstance(got.sampling_rate, float)
    assert got.leads == LEADS
    assert read_record(str(path), 500).sampling_rate == 500.0  # agrees


def test_read_npz_prefers_the_named_array(tmp_path):
    path = save(tmp_path / "r.npz", a=some_ecg(seed=1), ecg=some_ecg(seed=2), ecg_mv=some_ecg(),
                fs=500)
    assert_equal("ecg", read_record(path).ecg, some_ecg())


def test_read_npz_puts_leads_in_order_and_units_in_mv(tmp_path):
    ecg, order = some_ecg(), np.random.default_rng(4).permutation(12)
    names = np.array([" " + LEADS[k].upper() for k in order] + ["vx"])
    rows = np.concatenate((ecg[order], np.zeros((1, 3000), np.float32)))
    path = save(tmp_path / "r.npz", ecg=1000 * rows.astype(np.float64), fs=400.0, leads=names,
                units="uV")
    assert_close("ecg", read_record(path).ecg, ecg, rtol=1e-6)


def test_read_npy(tmp_path):
    np.save(tmp_path / "r.npy", some_ecg().astype(np.float64))
    got = read_record(tmp_path / "r.npy", 257)
    assert_equal("ecg", got.ecg, some_ecg())
    assert got.sampling_rate == 257.0


def test_read_wfdb(tmp_path):
    wfdb = pytest.importorskip("wfdb")
    order = list(range(11, -1, -1))
    signal = np.concatenate((some_ecg()[order], 9 * np.ones((1, 3000)) + some_ecg()[:1])).T
    units = ["mV"] * 12 + ["mmHg"]
    units[3] = "uV"
    signal[:, 3] *= 1000
    wfdb.wrsamp("rec", fs=360, units=units, sig_name=[LEADS[k].lower() for k in order] + ["abp"],
                p_signal=signal.astype(np.float64), fmt=["16"] * 13, write_dir=str(tmp_path))
    got = read_record(tmp_path / "rec.hea")
    assert got.sampling_rate == 360.0
    assert_close("ecg", got.ecg, some_ecg(), atol=1e-4)
    (tmp_path / "rec.dat").unlink()
    with pytest.raises(ValueError, match=r"rec.hea: not readable as a WFDB record"):
        read_record(tmp_path / "rec.hea")


def test_read_wfdb_without_wfdb(tmp_path, monkeypatch):
    (tmp_path / "rec.hea").write_text("rec 12 500 5000\n")
    real_import = builtins.__import__

    def no_wfdb(name, *rest, **options):
        if name == "wfdb":
            raise ImportError(name)
        return real_import(name, *rest, **options)

    monkeypatch.delitem(sys.modules, "wfdb", raising=False)
    monkeypatch.setattr(builtins, "__import__", no_wfdb)
    with pytest.raises(ValueError, match=r"rec.hea: .* needs the package wfdb"):
        read_record(tmp_path / "rec.hea")


def spoiled(index, value) -> np.ndarray:
    ecg = some_ecg().astype(np.float64)
    ecg[index] = value
    return ecg


REFUSALS = {
    "leads": ({"ecg": some_ecg()[:11], "fs": 500}, r"have 12 leads, got 11 \(shape \[11, 3000\]"),
    "transposed": ({"ecg": some_ecg().T, "fs": 500}, "12 leads, got 3000 .*perhaps transposed"),
    "no ecg": ({"a": np.zeros((3, 9)), "fs": 500},
               r"no array with 12 rows .* it has a \[3, 9\], fs"),
    "three axes": ({"ecg": some_ecg()[None], "fs": 500}, r"\[12, T\], got shape \[1, 12, 3000\]"),
    "no rate": ({"ecg": some_ecg()}, "unknown sampling rate; .* fs, sampling_rate"),
    "rates": ({"ecg": some_ecg(), "fs": [500, 500]}, "sampling rate must be one number"),
    "zero rate": ({"ecg": some_ecg(), "fs": 0}, r"sampling rate must be in 50..20000 Hz, got 0"),
    "nan rate": ({"ecg": some_ecg(), "fs": np.nan}, "50..20000 Hz, got nan"),
    "flat": ({"ecg": spoiled((4, slice(None)), 0.3), "fs": 500}, "flat lead aVL .*all 12"),
    "two flat": ({"ecg": spoiled(([0, 7], slice(None)), 0.0), "fs": 500}, "flat lead I, V2"),
    "short": ({"ecg": some_ecg(2499), "fs": 500},
              r"too short, 4.998 s \(2499 samples at 500 Hz\), but at least 5 s"),
    "missing": ({"ecg": spoiled((6, slice(0, 301)), np.nan), "fs": 500},
                "lead V1 has 10.0% values missing, but at most 10%"),
    "all missing": ({"ecg": spoiled(2, np.nan), "fs": 500}, "lead III has 100.0% values missing"),
    "microvolts": ({"ecg": 1000 * some_ecg(), "fs": 500}, "but at most 50 mV .*microvolts"),
    "volts": ({"ecg": some_ecg() / 1000, "fs": 500}, "expected; perhaps these are volts"),
    "units": ({"ecg": some_ecg(), "fs": 500, "units": "mmHg"},
              "units must be mV, uV or V, got mmHg"),
    "mixed units": ({"ecg": some_ecg(), "fs": 500, "units": ["mV", "V"]}, "one unit .*V, mV"),
    "lead names": ({"ecg": some_ecg(), "fs": 500, "leads": [*LEADS[:10], "x", "y"]},
                   "V5, V6 missing among 12: I, II"),
    "lead count": ({"ecg": some_ecg(), "fs": 500, "leads": LEADS[:11]},
                   "12 rows and 11 lead names"),
    "complex": ({"ecg": some_ecg() * 1j, "fs": 500}, "real numbers, got complex64"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_read_refuses(tmp_path, name):
    arrays, words = REFUSALS[name]
    path = save(tmp_path / "r.npz", **arrays)
    with pytest.raises(ValueError, match=words) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_read_accepts_the_limits(tmp_path):
    ecg = spoiled((6, slice(0, 300)), np.nan)[:, :3000]
    ecg[3, 5] = 50.0
    got = read_record(save(tmp_path / "r.npz", ecg=ecg, fs=600))
    assert np.isnan(got.ecg).sum() == 300
    assert_shape("short", read_record(save(tmp_path / "s.npz", ecg=some_ecg(900), fs=500),
                                      seconds=1.8).ecg, (12, 900))


def test_read_refuses_files(tmp_path):
    path = save(tmp_path / "r.npz", ecg=some_ecg(), fs=500)
    with pytest.raises(ValueError, match="500 Hz in the file, but 1000 Hz was given"):
        read_record(path, 1000)
    with pytest.raises(ValueError, match=r".npz, .npy, .hea, got '.csv'"):
        read_record(tmp_path / "r.csv")
    with pytest.raises(ValueError, match=r"x.npy: no such file"):
        read_record(tmp_path / "x.npy")
    for name in ("t.npz", "t.npy"):
        (tmp_path / name).write_text("lead I, lead II")
        with pytest.raises(ValueError, match=f"{name}: not readable as NumPy data"):
            read_record(tmp_path / name, 500)
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"o.npy: not readable"):
        read_record(tmp_path / "o.npy", 500)
    np.save(tmp_path / "u.npy", some_ecg())
    with pytest.raises(ValueError, match="unknown sampling rate"):
        read_record(tmp_path / "u.npy")


def test_read_real_record():
    path = SHARED / "real" / "ptb_s0010_re.npz"
    if not path.is_file():
        pytest.skip("real record not available: ptb_s0010_re.npz")
    record = read_record(path)
    assert_shape("ecg", record.ecg, (12, 38400))
    got = resample(record.ecg, record.sampling_rate)
    assert_shape("at 500 Hz", got, (12, 19200))
    assert_close("I + III = II", got[0] + got[2], got[1], atol=2e-3)  # Einthoven holds at any rate
