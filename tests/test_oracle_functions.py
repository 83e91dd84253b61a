"""The reference held against the oracle: golden vectors of the functions."""

import numpy as np
import pytest

from reference import adapter_functions, adapter_losses, adapter_metrics, adapter_signals
from reference.baseline import asymmetric_least_squares
from reference.vectors import compare, read_case
from tests.oracle import (cases_functions, cases_losses, cases_metrics, cases_signals, generate,
                          losses, masked_losses)

BUILT = [pair for module in (cases_functions, cases_losses, cases_signals, cases_metrics)
         for pair in module.build()]
NAMES = [case.name for case, _ in BUILT]
COMPONENTS = {name: function for part in (adapter_functions, adapter_losses,
                                                     adapter_signals, adapter_metrics)
              for name, function in part.COMPONENTS.items()}


@pytest.mark.parametrize("case, seed", BUILT, ids=NAMES)
def test_regenerating_gives_the_stored_files(case, seed):
    errors = generate.measured_errors(generate.GOLDEN)
    assert generate.differences(case, seed, generate.GOLDEN, errors) == []


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_reference_agrees(name, dtype):
    case = read_case(generate.GOLDEN / name)
    got, expected = COMPONENTS[case.component](case, dtype), case.expected()
    assert list(got) == list(expected)
    found = [compare(key, got[key], want, case.entries[key], dtype)
             for key, want in expected.items()]
    assert [f"{d.name} {d.words}" for d in found if not d.ok] == []


def test_every_component_has_a_case():
    assert {case.component for case, _ in BUILT} == set(COMPONENTS)


@pytest.mark.parametrize("method", ["rows", "chunks", "reduction"])
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("asymmetric")])
def test_all_solvers_of_the_baseline_agree(name, method):
    case = read_case(generate.GOLDEN / name)
    got = asymmetric_least_squares(case.given("in")["signal"], **case.config, method=method)
    found = compare("out/baseline", got, case.tensors["out/baseline"],
                    case.entries["out/baseline"], "float64")
    assert found.ok, found.words


# ---- the oracle's own gradients ----

CONSTANT = {"byol_loss": ("t0", "t1"), "negative_cosine": ("target",)}  # by the loss's definition
STEP = {"cross_correlation_constant": 1e-9,  # bends within 1e-6, the root of its epsilon
        "barlow_twins_loss": 1e-6}  # one dimension varies by 0.02 only
GRADIENTS = [(case, name.split("/")[1]) for case, _ in cases_losses.build()
             for name in case.entries if name.startswith("grad/")
             and case.name != "clip_loss_zero_row"  # no derivative at 0
             and name.split("/")[1] not in CONSTANT.get(case.component, ())]


@pytest.mark.parametrize("case, name", GRADIENTS, ids=[f"{c.name}-{n}" for c, n in GRADIENTS])
def test_gradients_are_central_differences(case, name):
    function = getattr(losses, case.component, None) or getattr(masked_losses, case.component)
    given, step = case.given("in"), STEP.get(case.name, 1e-5)
    at, grad = given[name], case.tensors[f"grad/{name}"]
    for direction in np.random.default_rng(0).standard_normal((3, *at.shape)):
        ahead, behind = (function(**{**given, name: at + side * step * direction}, **case.config)
                         for side in (1, -1))
        slope = (ahead["loss/total"] - behind["loss/total"]) / (2 * step)
        assert abs(slope - (grad * direction).sum()) <= 1e-6 * max(np.linalg.norm(grad), 1e-3)
