"""The conformance runner: what passes, what fails, what is said about it, the exit status."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from reference.__main__ import main
from reference.conformance import adapters, runner
from reference.conformance.builtin import COMPONENTS
from reference.conformance.runner import ABSENT, FAIL, NOTHING, PASS, check_case
from reference.conformance.vectors import Case, write_case

RESULTS = {"mid/half": np.array([0.5, 1.0, 1.5]), "out/z": np.array([1.0, 2.0, 3.0]),
           "loss/total": np.array(6.0), "grad/x": np.array([1.0, 1.0, 1.0]),
           "step/x": np.array([0.9, 1.9, 2.9])}


def made_case(name="sum_one", component="sum", results=RESULTS, **entries) -> Case:
    tensors = {"in/x": np.array([1.0, 2.0, 3.0]), "in/n": np.array([4, 5]), **results}
    facts = {key: {"shape": list(value.shape), "dtype": str(value.dtype), **entries.get(key, {})}
             for key, value in tensors.items()}
    return Case(name, component, {"scale": 2, "sizes": [1]}, tensors, facts)


def right(case, dtype):
    return dict(RESULTS)


def but(**changes):
    """The right results with some changed (kind__name=value) or left out (None)."""
    changed = {name.replace("__", "/"): value for name, value in changes.items()}
    return lambda case, dtype: {name: changed.get(name, value) for name, value in RESULTS.items()
                                if changed.get(name, value) is not None}


def outcome(function, level="steps", case=None, dtype="float64"):
    return check_case(case or made_case(), function, dtype, level)


@pytest.fixture()
def vectors(tmp_path):
    """Two components, `sum` with two cases and `other` with one."""
    for name, component in (("sum_one", "sum"), ("sum_two", "sum"), ("other_one", "other")):
        case = made_case(name, component)
        write_case(tmp_path / "vectors", case, seed=0, command="none")
    return tmp_path / "vectors"


def verify(tmp_path, vectors, source, *options):
    """Exit status of an adapter file with this source."""
    path = tmp_path / "port.py"
    path.write_text("import numpy as np\n" + source)
    return main(["verify", "--vectors", str(vectors), "--adapter", str(path), *options])


SUM = """
def sum(case, dtype):
    x = case.given("in", dtype)["x"]
    return {"out/z": x, "loss/total": x.sum(), "grad/x": np.ones(3, dtype),
            "step/x": x - np.asarray(0.1, dtype)}
"""


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

def test_the_library_passes_its_own_vectors_and_has_every_component(capsys):
    assert main(["verify"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    components = {case.component for case in runner.read_vectors()}
    assert components == set(COMPONENTS)
    assert lines[-1] == (f"reference: {len(components)} of {len(components)} implemented "
                         "components pass, 0 fail, 0 not implemented")
    assert len(lines) == len(components) + 3 and all(line.endswith("  pass")
                                                     for line in lines[1:-2])


def test_a_port_passes_with_what_it_has(tmp_path, vectors, capsys):
    assert verify(tmp_path, vectors, SUM, "--dtype", "both") == 0
    text = capsys.readouterr().out
    assert "1 of 1 implemented components pass, 0 fail, 1 not implemented" in text
    assert [line.split()[:3] for line in text.splitlines()[1:3]] == [["other", "1", "0/10"],
                                                                     ["sum", "2", "16/20"]]


def test_a_failure_is_printed_with_tensor_place_and_size(tmp_path, vectors, capsys):
    wrong = SUM.replace("x.sum()", "x.sum() + 1").replace("np.ones(3, dtype)", "-np.ones(3)")
    assert verify(tmp_path, vectors, wrong, "--only", "sum_two,other") == 1
    lines = capsys.readouterr().out.splitlines()
    assert ("sum, case sum_two, float32: loss/total [] is 7, should be 6; largest difference 1, "
            "allowed 6e-05") in lines
    assert lines[-1].endswith("0 of 1 implemented components pass, 1 fail, 1 not implemented")


@pytest.mark.parametrize("level, status", [("forward", 0), ("loss", 1), ("gradient", 1)])
def test_the_level_decides(tmp_path, vectors, level, status):
    wrong = SUM.replace("x.sum()", "x.sum() + 1")
    assert verify(tmp_path, vectors, wrong, "--level", level) == status


def test_nothing_implemented_is_no_success(tmp_path, vectors, capsys):
    assert verify(tmp_path, vectors, "def summ(case, dtype): return {}") == 1
    assert "nothing is implemented, of 2 components" in capsys.readouterr().out


def test_a_level_without_tensors_is_no_success(capsys):
    assert main(["verify", "--only", "byol_loss", "--level", "forward"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["byol_loss", "1", "0/0", "-", "nothing", "at", "this", "level"]
    assert lines[-1] == "reference: none of the 1 components has a tensor at this level"


def test_the_list_shows_what_a_case_gives_and_wants(vectors, capsys):
    assert main(["verify", "--vectors", str(vectors), "--list", "--only", "sum_one"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sum, case sum_one",
        "    config   scale=2, sizes=[1]",
        "    given    in/x [3], in/n [2]",
        "    results  mid/half [3], out/z [3], loss/total [], grad/x [3], step/x [3]"]


def test_the_report_as_json(tmp_path, vectors):
    broken = SUM + "\ndef other(case, dtype): return {'out/z': np.full(3, np.nan)}\n"
    assert verify(tmp_path, vectors, broken, "--json", str(tmp_path / "r.json")) == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["passed"], report["level"], report["dtypes"]) == (False, "steps", ["float32"])
    assert {c["component"]: c["status"] for c in report["components"]} == {"sum": "pass",
                                                                           "other": "fail"}
    other = report["cases"][0]
    assert (other["case"], other["first"], other["index"]) == ("other_one", "out/z", [0])
    assert other["worst"] is None and other["largest"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["port.py", "r.json", "vectors"]


@pytest.mark.parametrize("arguments, wanted", [
    (["--only", "clip_los"], "clip_loss"),
    (["--vectors", "{tmp}"], "no golden vectors"),
    (["--vectors", "{tmp}/none"], "no golden vectors"),
    (["--adapter", "{tmp}/none.py"], "no adapter at"),
    (["--import", "{tmp}/none"], "no directory of results"),
    (["--import", "{tmp}", "--dtype", "both"], "--dtype"),
    (["--export", "{tmp}/x", "--dtype", "both"], "--dtype"),
    (["--export", "{tmp}/x", "--level", "loss"], "--level"),
    (["--export", "{tmp}/x", "--json", "y"], "--json"),
])
def test_bad_input_exits_2_with_one_line(arguments, wanted, capsys, tmp_path):
    assert main(["verify", *(a.format(tmp=tmp_path) for a in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and wanted in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--level", "all"], ["--dtype", "half"],
                                       ["--adapter", "a.py", "--import", "b"],
                                       ["--list", "--export", "x"]])
def test_bad_options_exit_2_with_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", *arguments])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_without_a_checkout_the_vectors_are_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(runner, "VECTORS", tmp_path / "none")
    assert main(["verify"]) == 2
    assert "run from a checkout of the repository" in capsys.readouterr().err
