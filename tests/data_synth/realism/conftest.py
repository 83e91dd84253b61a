"""Measured subjects and a real record, shared by the tests of realism."""

from __future__ import annotations

import pytest

from data_synth.realism import measurement, real_record, report
from tests.support.helpers import SHARED

COUNT = 200
EXTRA = 6  # with a low ejection fraction


@pytest.fixture(scope="session")
def measured() -> measurement.Measured:
    """Subjects 0 .. 199 of seed 0, and six with a low ejection fraction."""
    extra = report.low_ejection_subjects(COUNT, 0, EXTRA)
    return measurement.measure([*range(COUNT), *extra], 0)


@pytest.fixture(scope="session")
def population(measured):
    """The table of subjects 0 .. 199 alone."""
    return {name: column[:COUNT] for name, column in measured.table.items()}


@pytest.fixture
def quick_report(measured, monkeypatch):
    """`report` measures `measured` instead of subjects of its own."""
    monkeypatch.setattr(measurement, "measure", lambda *a, **k: measured)
    monkeypatch.setattr(report, "low_ejection_subjects", lambda *a: [0] * EXTRA)


@pytest.fixture(scope="session")
def ptb() -> real_record.RealRecord:
    """PTB s0010_re: a woman of 81 with an acute inferolateral infarct."""
    path = SHARED / "real" / "ptb_s0010_re.npz"
    if not path.is_file():
        pytest.skip("real record not available: ptb_s0010_re.npz")
    return real_record.read(path)
