"""Every planted fault is found, at its component and tensor, and nowhere else."""

from __future__ import annotations

import pytest

from reference import masking
from tests import faults
from tests.faults import FAULTS
from tests.faults.planting import Fault, planted


def test_there_are_enough_faults_of_different_names():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_fault_is_found_where_it_is(fault):
    found = faults.find(fault)
    assert list(found) == [fault.component]  # none before it
    assert faults.firsts(found[fault.component]) == fault.first.split(", ")


@pytest.mark.parametrize("fault", FAULTS[::12], ids=[fault.name for fault in FAULTS[::12]])
def test_components_without_the_fault_pass(fault):
    found = faults.find(fault, everywhere=True)
    assert next(iter(found)) == fault.component
    assert set(found) <= faults.callers(fault)


def test_without_a_fault_nothing_is_found():
    same = Fault("none", "random_mask", "", "masking:kept_tokens", "int(tokens", "int(tokens", "")
    assert faults.find(same) == {}


def test_the_library_is_whole_again_afterwards():
    with planted(FAULTS[0]):
        assert masking.kept_tokens(300, 0.8) == 60
    assert masking.kept_tokens(300, 0.8) == 59
    with pytest.raises(RuntimeError, match="inside"), planted(FAULTS[0]):
        raise RuntimeError("inside")
    assert masking.kept_tokens(300, 0.8) == 59


@pytest.mark.parametrize("before", ["no such expression", "t"])
def test_a_fault_that_fits_nowhere_or_twice_is_refused(before):
    with pytest.raises(ValueError, match="should be 1"), planted(
            FAULTS[0]._replace(before=before)):
        pass


def test_the_table_prints_every_fault_as_caught(monkeypatch, capsys):
    monkeypatch.setattr(faults, "FAULTS", FAULTS[:3])
    faults.main()
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 7 and lines[-1] == "3 of 3 caught."
    assert all(line.count("|") == 7 for line in lines[:5])
    assert "NOT CAUGHT" not in "".join(lines)
