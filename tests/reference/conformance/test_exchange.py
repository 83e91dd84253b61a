"""Vectors as files: layout, round trip through the library's own adapter, damage, refusals."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from reference.__main__ import main
from reference.conformance import exchange
from reference.conformance.builtin import COMPONENTS
from reference.conformance.vectors import Case, formula_tensor, read_cases, write_case

WEIGHT = {"seed": 3, "scale": 0.5}


@pytest.fixture()
def vectors(tmp_path):
    """One case with inputs, noise, parameters (one by formula) and a thinned result."""
    x = np.array([1.0, 0.5, 2.0])
    tensors = {"in/x": x, "in/n": np.array([[4, 5]]), "noise/u": np.array(0.25),
               "param/head/a.b": x, "out/long": np.arange(0.0, 10.0, 5.0), "loss/total": x.sum()}
    entries = {name: {} for name in tensors}
    entries["out/long"] = {"shape": [10], "every": 5}
    entries["param/block.0.weight"] = {"shape": (2, 3), "formula": WEIGHT}
    case = Case("case_one", "thing", {"ratio": 0.5}, tensors, entries)
    write_case(tmp_path / "vectors", case, seed=0, command="none")
    return tmp_path / "vectors"


def export(tmp_path, vectors, *options):
    out = tmp_path / "files"
    status = main(["verify", "--vectors", str(vectors), "--export", str(out), *options])
    return out, status


def imported(tmp_path, vectors, *options):
    return main(["verify", "--vectors", str(vectors), "--import", str(tmp_path / "files"),
                 *options])


def write_results(folder, **changes):
    for name, value in {"out/long": np.arange(10.0), "loss/total": 3.5, **changes}.items():
        exchange.write_array(folder / exchange.file_of(name), np.asarray(value, np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_export_writes_what_a_port_starts_from(tmp_path, vectors, dtype, capsys):
    out, status = export(tmp_path, vectors, "--dtype", dtype)
    assert status == 0 and "1 cases, 5 arrays" in capsys.readouterr().out
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {"README.md", "case_one/config.json", "case_one/in/x.npy", "case_one/in/n.npy",
                     "case_one/noise/u.npy", "case_one/param/head%2Fa.b.npy",
                     "case_one/param/block.0.weight.npy"}
    facts = json.loads((out / "case_one" / "config.json").read_text())
    assert (facts["component"], facts["config"]) == ("thing", {"ratio": 0.5})
    case = read_cases(vectors)[0]
    for name, entry in facts["given"].items():
        kind, rest = name.split("/", 1)
        array = np.load(out / "case_one" / entry["file"])
        assert list(array.shape) == entry["shape"] and array.dtype == entry["dtype"]
        assert (array == case.given(kind)[rest]).all()
    assert facts["given"]["param/block.0.weight"]["dtype"] == dtype
    assert facts["given"]["in/n"]["dtype"] == "int64"
    assert (np.load(out / "case_one/param/block.0.weight.npy")
            == formula_tensor((2, 3), **WEIGHT)).all()
    assert facts["results"] == {
        "out/long": {"file": "out/long.npy", "shape": [10], "dtype": dtype, "level": "forward"},
        "loss/total": {"file": "loss/total.npy", "shape": [], "dtype": dtype, "level": "loss"}}
    assert dtype in (out / "README.md").read_text()


def test_files_are_little_endian_and_in_row_order(tmp_path):
    value = np.asfortranarray(np.arange(6.0).reshape(2, 3).astype(">f4"))
    exchange.write_array(tmp_path / "new" / "x.npy", value)
    raw = (tmp_path / "new" / "x.npy").read_bytes()
    assert raw[:8] == b"\x93NUMPY\x01\x00"
    assert b"'<f4'" in raw and b"'fortran_order': False" in raw
    assert raw.endswith(np.arange(6.0).astype("<f4").tobytes())


@pytest.mark.parametrize("name, file", [
    ("param/blocks.0.attn.qkv.weight", "param/blocks.0.attn.qkv.weight.npy"),
    ("grad/param/w", "grad/param%2Fw.npy"), ("out/../x", "out/..%2Fx.npy"),
    ("out/a b:c\\d", "out/a%20b%3Ac%5Cd.npy")])
def test_file_names_are_safe(name, file):
    assert exchange.file_of(name) == file


def test_results_come_back(tmp_path, vectors, capsys):
    out, _ = export(tmp_path, vectors)
    assert imported(tmp_path, vectors) == 1  # nothing there yet
    assert "nothing is implemented" in capsys.readouterr().out
    write_results(out / "case_one")
    assert imported(tmp_path, vectors) == 0
    assert "2/2" in capsys.readouterr().out


def test_a_wrong_result_is_named(tmp_path, vectors, capsys):
    out, _ = export(tmp_path, vectors)
    write_results(out / "case_one", **{"out/long": np.arange(10.0)[::-1]})
    assert imported(tmp_path, vectors) == 1
    assert "thing, case case_one, float32: out/long [0] is 9, should be 0" in (
        capsys.readouterr().out)


def test_a_missing_file_fails_but_for_a_lower_level(tmp_path, vectors, capsys):
    out, _ = export(tmp_path, vectors)
    write_results(out / "case_one")
    (out / "case_one" / "loss" / "total.npy").unlink()
    assert imported(tmp_path, vectors) == 1
    assert "loss/total is missing" in capsys.readouterr().out
    assert imported(tmp_path, vectors, "--level", "forward") == 0


def test_big_endian_and_fortran_order_are_read(tmp_path, vectors):
    out, _ = export(tmp_path, vectors)
    write_results(out / "case_one")
    np.save(out / "case_one" / "out" / "long.npy", np.arange(10.0).astype(">f8"))
    assert imported(tmp_path, vectors) == 0


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "pickle", "npz", "text array"])
def test_a_damaged_file_fails_at_its_tensor(tmp_path, vectors, capsys, damage):
    out, _ = export(tmp_path, vectors)
    write_results(out / "case_one")
    path = out / "case_one" / "out" / "long.npy"
    if damage == "npz":
        np.savez(path.with_suffix(".npz"), x=np.arange(10.0))
        path.with_suffix(".npz").replace(path)
    elif damage in ("pickle", "text array"):
        np.save(path, np.array([str(i) for i in range(10)],
                               dtype=object if damage == "pickle" else str))
    else:
        path.write_bytes({"cut": path.read_bytes()[:-4], "empty": b"", "text": b"1 2 3"}[damage])
    capsys.readouterr()
    assert imported(tmp_path, vectors) == 1
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 6 and "case_one, float32: out/long " in lines[3]
    assert "not a readable .npy file" in lines[3] or "not an array of real numbers" in lines[3]


class Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_of_results_runs_no_code(tmp_path, vectors, capsys):
    out, _ = export(tmp_path, vectors)
    write_results(out / "case_one")
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.save(out / "case_one" / "out" / "long.npy", trap, allow_pickle=True)
    assert imported(tmp_path, vectors) == 1
    assert not (tmp_path / "sprung").exists()
    assert "out/long raised ValueError: long.npy is not a readable .npy file" in (
        capsys.readouterr().out)


def test_a_directory_that_holds_something_is_refused(tmp_path, vectors, capsys):
    out = tmp_path / "files"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    assert export(tmp_path, vectors)[1] == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    assert export(tmp_path, vectors)[1] == 0  # an empty one is taken
    assert export(tmp_path, vectors)[1] == 2


def test_a_file_in_its_place_is_refused(tmp_path, vectors, capsys):
    (tmp_path / "files").write_text("keep")
    assert export(tmp_path, vectors)[1] == 2
    assert "is a file" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(tmp_path, vectors, monkeypatch, capsys):
    def full(path, value):
        raise OSError(28, "No space left on device", str(path))
    monkeypatch.setattr(exchange, "write_array", full)
    assert export(tmp_path, vectors)[1] == 2
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_through_the_library_itself(tmp_path, dtype, capsys):
    """Export, compute from the files alone, import: every small component passes."""
    only = "random_mask,gather_tokens,clip_loss"
    out = tmp_path / "files"
    assert main(["verify", "--export", str(out), "--only", only, "--dtype", dtype]) == 0
    functions = COMPONENTS
    for folder in (path for path in out.iterdir() if path.is_dir()):
        facts = json.loads((folder / "config.json").read_text())
        given = {name: np.load(folder / entry["file"]) for name, entry in facts["given"].items()}
        entries = {name: {"shape": entry["shape"], "dtype": entry["dtype"]}
                   for name, entry in {**facts["given"], **facts["results"]}.items()}
        case = Case(facts["case"], facts["component"], facts["config"], given, entries)
        for name, value in functions[case.component](case, dtype).items():
            exchange.write_array(folder / facts["results"][name]["file"], value)
    assert main(["verify", "--import", str(out), "--only", only, "--dtype", dtype]) == 0
    assert "3 of 3 implemented components pass" in capsys.readouterr().out
