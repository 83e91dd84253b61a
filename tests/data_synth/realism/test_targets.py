"""Published ranges: every row can be measured, and a small population lies in the stable ones."""

from __future__ import annotations

from data_synth.realism import statistics
from data_synth.realism.targets import GROUPS, ROWS, SECTIONS

STABLE = ("heart rate, SD", "PR, 98 % limit, women", "QTc, women", "P duration", "S in V1",
          "T in aVL", "Sokolow-Lyon", "frontal QRS axis", "T axis", "LVEF, mean", "LVEDV, mean",
          "LVESV, mean", "LVM, mean", "LVMi, mean", "RVEDV, mean", "height, mean", "BMI, mean",
          "LVEDV, LVEDV of the mask", "LVM, LVM of the mask", "Ecc global, mean",
          "R2 of demographics, LVM", "SD of RR, sinus", "P seen in sinus rhythm",
          "LVEDV and RVEDV", "CAD", "DM", "RBBB", "Sokolow and LVMi", "BMI and QRS axis")


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
    assert tuple(dict.fromkeys(r.section for r in ROWS)) == tuple(SECTIONS)
    names = [(r.section, r.quantity, r.group, r.statistic, r.columns) for r in ROWS]
    assert len(set(names)) == len(names)


def test_population_is_in_its_bands(population):
    """Band widened by four standard errors of 200 subjects."""
    checked = 0
    for entry in ROWS:
        if entry.quantity not in STABLE:
            continue
        value, error = statistics.evaluate(entry, population)
        assert entry.low - 4 * error <= value <= entry.high + 4 * error, (
            f"{entry.quantity}, {entry.group}={value:.4g} (se {error:.2g}), but should be in "
            f"{entry.low}..{entry.high}")
        checked += 1
    assert checked >= len(STABLE)
