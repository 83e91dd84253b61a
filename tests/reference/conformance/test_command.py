"""`python -m reference verify`: what it prints, when it fails, what it refuses."""

from __future__ import annotations

import json

import pytest

from reference.__main__ import main
from reference.conformance import runner
from reference.conformance.builtin import COMPONENTS


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
