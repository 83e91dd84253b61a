"""The conformance runner: what passes, what fails, what is said about it, the exit status."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reference.conformance import adapters, runner
from reference.conformance.runner import ABSENT, FAIL, NOTHING, PASS, check_case
from tests.support.cases import RESULTS, but, made_case, right


def outcome(function, level="steps", case=None, dtype="float64"):
    return check_case(case or made_case(), function, dtype, level)


# ---- one case ----

def test_right_results_pass():
    found = outcome(right)
    assert (found.status, found.tensors, found.compared, found.worst) == (PASS, 5, 5, 0.0)
    assert (found.first, found.largest, found.index, found.words) == ("", 0.0, (), "")


@pytest.mark.parametrize("wrong", ["mid__half", "out__z", "loss__total", "grad__x", "step__x"])
def test_a_wrong_tensor_fails_by_name(wrong):
    name = wrong.replace("__", "/")
    found = outcome(but(**{wrong: RESULTS[name] + 1e-3}))
    assert (found.status, found.first) == (FAIL, name)
    assert found.largest == pytest.approx(1e-3)


def test_the_first_tensor_in_the_order_of_computation_is_named():
    found = outcome(but(out__z=RESULTS["out/z"] * [1, 1, 2], grad__x=RESULTS["grad/x"] * 100))
    assert (found.first, found.largest, found.index) == ("out/z", 3.0, (2,))
    assert found.words.startswith("[2] is 6, should be 3; largest difference 3, allowed 3e-10")
    assert found.worst == pytest.approx(99 / 1e-10)  # of the gradient: the worst of all tensors


@pytest.mark.parametrize("level, passes", [("forward", True), ("loss", True), ("gradient", False),
                                           ("steps", False)])
def test_a_level_leaves_out_what_comes_after_it(level, passes):
    found = outcome(but(grad__x=None, step__x=RESULTS["step/x"] * 7), level)
    assert (found.status == PASS) is passes
    if not passes:
        assert (found.first, found.words) == ("grad/x", "is missing")


@pytest.mark.parametrize("missing", ["out__z", "loss__total", "grad__x", "step__x"])
def test_a_missing_result_fails(missing):
    found = outcome(but(**{missing: None}))
    assert (found.status, found.first) == (FAIL, missing.replace("__", "/"))
    assert found.compared == 4 and math.isinf(found.worst)


def test_a_missing_intermediate_result_does_not():
    found = outcome(but(mid__half=None))
    assert (found.status, found.compared, found.tensors) == (PASS, 4, 5)


@pytest.mark.parametrize("results", [{}, {"out/zz": 1.0}])
def test_nothing_compared_never_passes(results):
    only_mid = made_case(results={"mid/half": RESULTS["mid/half"]})
    found = outcome(lambda case, dtype: results, case=only_mid)
    assert (found.status, found.first) == (FAIL, "mid/half")
    assert found.words.startswith("is missing") and ("out/zz" in found.words) == bool(results)


def test_results_under_names_that_no_vector_has_are_said_to_be_there():
    found = outcome(lambda case, dtype: {"out/Z": 1.0, **but(out__z=None)(case, dtype)})
    assert (found.first, found.words) == ("out/z", "is missing (returned: out/Z)")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", list(RESULTS))
def test_a_number_that_is_not_finite_never_passes(name, bad):
    value = np.array(RESULTS[name])
    value.flat[-1] = bad
    found = outcome(but(**{name.replace("/", "__"): value}), dtype="float32")
    assert (found.status, found.first) == (FAIL, name)
    assert "should be finite" in found.words and math.isinf(found.worst)


def test_nan_between_stored_entries_fails():
    case = made_case(results={"out/long": np.arange(0.0, 10.0, 5.0)},
                     **{"out/long": {"shape": [10], "every": 5}})
    whole = np.arange(10.0)
    assert outcome(lambda c, d: {"out/long": whole}, case=case).status == PASS
    whole[7] = math.nan
    found = outcome(lambda c, d: {"out/long": whole}, case=case)
    assert (found.status, found.index, found.words) == (FAIL, (7,), "[7] is nan, should be finite")


def raising(error):
    def function(case, dtype):
        raise error
    return function


@pytest.mark.parametrize("function, words", [
    (raising(KeyError("z")), "raised KeyError: 'z'"),
    (raising(ValueError("two\nlines")), "raised ValueError: two lines"),
    (raising(SystemExit(0)), "raised SystemExit: 0"),
    (raising(AssertionError()), "raised AssertionError"),
    (lambda case, dtype: [1, 2], "returned list, should be a dictionary of arrays"),
    (lambda case, dtype: None, "returned NoneType, should be a dictionary of arrays"),
    (lambda case: {}, "raised TypeError: <lambda>() takes 1 positional argument but 2 were given"),
])
def test_an_adapter_that_breaks_fails_in_one_line(function, words):
    found = outcome(function)
    assert (found.status, found.compared) == (FAIL, 0)
    assert math.isinf(found.worst) and math.isinf(found.largest)
    assert found.words.endswith(words)
    assert "\n" not in runner.failure_line(found)


def test_what_is_no_array_fails_in_one_line():
    found = outcome(but(out__z=np.array([["a"], ["b"], ["c"]])))
    assert (found.status, found.first) == (FAIL, "out/z")
    line = runner.failure_line(found)
    assert "out/z not an array of real numbers" in line and "\n" not in line


def test_an_interrupt_is_no_failure():
    with pytest.raises(KeyboardInterrupt):
        outcome(raising(KeyboardInterrupt()))


def test_not_implemented_is_an_absence():
    absent = runner.Outcome("sum_one", "sum", "float64", ABSENT, 5)
    assert outcome(None) == outcome(raising(NotImplementedError("later"))) == absent
    assert absent[5:] == (0, 0.0, "", 0.0, (), "")


def test_a_case_without_results_of_the_level_counts_for_nothing():
    case = made_case(results={"grad/x": RESULTS["grad/x"]})
    nothing = runner.Outcome("sum_one", "sum", "float64", NOTHING)
    assert outcome(right, "loss", case) == outcome(None, "loss", case) == nothing
    assert nothing.tensors == 0


def test_the_function_sees_copies_and_no_results():
    case, seen = made_case(), {}

    def spoiler(given, dtype):
        seen.update(given.tensors)
        given.config["scale"] = given.config["sizes"][0] = 0
        for value in given.tensors.values():
            value[...] = 0
        given.entries.clear()
        return RESULTS

    assert outcome(spoiler, case=case).status == PASS
    assert set(seen) == {"in/x", "in/n"}
    assert case.config == {"scale": 2, "sizes": [1]} and case.tensors["in/n"].tolist() == [4, 5]


@pytest.mark.parametrize("dtype, passes", [("float64", False), ("float32", True)])
def test_the_precision_chooses_the_tolerance(dtype, passes):
    found = outcome(but(out__z=RESULTS["out/z"] + 1e-6), dtype=dtype)
    assert (found.status == PASS) is passes


# ---- components ----

def test_a_component_fails_with_one_failed_case_and_is_absent_only_if_all_are():
    results = {"a": outcome(right), "b": outcome(but(out__z=None)), "c": outcome(None)}
    for chosen, status in (("a", PASS), ("ab", FAIL), ("ac", PASS), ("bc", FAIL), ("c", ABSENT)):
        summary = runner.summarise("sum", [results[letter] for letter in chosen])
        assert (summary.component, summary.status) == ("sum", status)
    assert "pass, 1 not implemented" in runner.table_row(
        runner.summarise("sum", [results["a"], results["c"]]), ["sum"])


def test_only_takes_components_cases_and_patterns(vectors):
    cases = runner.read_vectors(vectors)
    def names(*only):
        return [case.name for case in runner.select(cases, only)]
    assert names() == ["other_one", "sum_one", "sum_two"]
    assert names("sum") == names("sum_*") == names("sum_one", "sum_two") == ["sum_one", "sum_two"]
    assert names("*one") == ["other_one", "sum_one"]


def test_cases_come_in_the_order_of_work():
    components = [case.component for case in runner.select(runner.read_vectors())]
    known = [name for names in adapters.GROUPS.values() for name in names]
    assert list(dict.fromkeys(components)) == known


def test_a_group_stands_for_its_components():
    chosen = runner.select(runner.read_vectors(), ["masking"])
    assert {case.component for case in chosen} == set(adapters.GROUPS["masking"])


@pytest.mark.parametrize("name", ["sums", "", "x*", "SUM"])
def test_only_refuses_what_is_not_there(vectors, name):
    with pytest.raises(ValueError, match="unknown group, component or case"):
        runner.select(runner.read_vectors(vectors), [name])


# ---- the command ----
