"""Measured float32 errors: which are noted, and how they become tolerances."""

import json

import numpy as np
import pytest

from reference.conformance.vectors import Case
from tests.oracle import generate, measure

WANT = np.array([4.0, -1.0])


def noted(error: float, **entry) -> dict:
    """What is noted of an error of the second entry."""
    entry = {"shape": [2], "dtype": "float64", **entry}
    case = Case("a", "a", {}, {"out/y": WANT}, {"out/y": entry})
    return measure.notable(case, {"out/y": WANT + np.array([0.0, error])})


@pytest.mark.parametrize("error, found", [(4.9e-6, None), (5.1e-6, 1.3e-6), (-8.44e-5, 2.2e-5)])
def test_errors_above_an_eighth_of_the_default_are_noted_and_rounded_up(error, found):
    assert noted(error) == ({"out/y": {"float32": found}} if found else {})


def test_a_tolerance_of_its_own_and_whole_numbers_are_left_alone():
    assert noted(1e-3, tolerance={"float32": 1e-2}) == {}
    case = Case("a", "a", {}, {"out/n": np.array([3])}, {"out/n": {"shape": [1], "dtype": "int64"}})
    assert measure.notable(case, {"out/n": np.array([4])}) == {}


def test_measuring_writes_what_the_generator_reads(tmp_path, monkeypatch, capsys):
    case = Case("a", "off", {}, {"out/y": WANT}, {"out/y": {}})
    monkeypatch.setattr(generate, "build", lambda: [(case, 1)])
    monkeypatch.setattr(measure, "COMPONENTS",
                        {"off": lambda case, dtype: {"out/y": WANT * (1 + 1e-5)}})
    assert measure.main(tmp_path) == 0
    assert capsys.readouterr().out.startswith("1 errors of 1 cases written to ")
    assert [path.name for path in tmp_path.iterdir()] == ["errors.json"]
    errors = generate.measured_errors(tmp_path)
    assert errors == json.loads((tmp_path / "errors.json").read_text())
    tolerance = generate.with_tolerances(case, errors["a"]).entries["out/y"]["tolerance"]
    assert tolerance == {"float32": 1e-4}

