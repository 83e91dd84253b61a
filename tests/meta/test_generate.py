"""The program that writes the golden vectors and holds them against the oracle."""

import ast
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reference.conformance.vectors import read_case
from tests.oracle import drafts, generate


def collection(first_seed: int, *names: str) -> drafts.Collection:
    """Cases of one input and one result each."""
    made = drafts.Collection(first_seed)
    for name in names:
        def maker(rng):
            x = drafts.normal(rng, 2, 3)
            return drafts.Draft("double", {}, {"in/x": x}, {"out/y": 2 * x, "out/n": x.shape},
                                {"out/y": {"float64": 1e-3}})
        maker.__name__ = name
        made.case(maker)
    return made


@pytest.fixture
def modules(monkeypatch):
    """Two modules with cases of their own."""
    pair = collection(10, "a", "b"), collection(20, "c")
    monkeypatch.setattr(generate, "MODULES", pair)
    return pair


def change(folder, **arrays):
    """Replace arrays of a stored case; None leaves one out."""
    kept = {**read_case(folder).tensors, **arrays}
    np.savez(folder / "vectors.npz", **{k: v for k, v in kept.items() if v is not None})


def check(directory, capsys, *names) -> list[str]:
    """Lines that --check prints; none where it finds nothing."""
    capsys.readouterr()
    status = generate.main([*names, "--check"], directory)
    lines = capsys.readouterr().out.splitlines()
    if status == 0:
        assert lines[-1].endswith("cases agree")
        return []
    assert status == 1
    return lines


def test_cases_of_all_modules_with_their_seeds(modules):
    assert [(case.name, seed) for case, seed in generate.build()] == [("a", 10), ("b", 11),
                                                                      ("c", 20)]
    assert [case.name for case, _ in generate.build(["c", "a"])] == ["a", "c"]
    first, again = generate.build()[0][0], generate.build()[0][0]
    assert (first.tensors["in/x"] == again.tensors["in/x"]).all()
    assert (first.tensors["in/x"] != generate.build()[1][0].tensors["in/x"]).all()


def test_unknown_and_shared_names_are_refused(modules, monkeypatch):
    with pytest.raises(ValueError, match="no case is called d, e; there are a, b, c"):
        generate.build(["e", "a", "d"])
    with pytest.raises(SystemExit) as stopped:
        generate.main(["d"])
    assert stopped.value.code == 2
    monkeypatch.setattr(generate, "MODULES", (*modules, collection(30, "b")))
    with pytest.raises(ValueError, match=r"cases share a name: \['b', 'b'\]"):
        generate.build()


@pytest.mark.parametrize("error, want", [
    (0.0, 1e-6), (1e-9, 1e-6), (1.25e-7, 1e-6), (2e-7, 2e-6), (2.6e-7, 5e-6), (6e-7, 5e-6),
    (7e-7, 1e-5), (1.25e-6, 1e-5), (1.26e-6, 2e-5), (0.003, 0.05), (0.3, 5.0)])
def test_tolerance_is_eight_errors_rounded_up(error, want):
    got = generate.rounded_tolerance(error)
    assert got == want
    assert got >= 8 * error


def test_written_files_agree(modules, tmp_path, capsys):
    assert generate.main([], tmp_path) == 0
    assert capsys.readouterr().out == f"3 cases written to {tmp_path}\n"
    assert check(tmp_path, capsys) == []
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["seed"] == 11
    assert manifest["command"] == "python -m tests.oracle.generate b"
    assert manifest["tensors"]["out/y"]["tolerance"] == {"float64": 1e-3}


def test_only_named_cases_are_written_and_checked(modules, tmp_path, capsys):
    generate.main(["a"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert check(tmp_path, capsys, "a") == []
    assert len(check(tmp_path, capsys)) == 2  # b and c are missing


@pytest.mark.parametrize("factor, found", [(1 + 1e-14, []), (1 + 1e-11, ["b: out/y differs"])])
def test_a_changed_array_is_found(modules, tmp_path, capsys, factor, found):
    generate.main([], tmp_path)
    change(tmp_path / "b", **{"out/y": read_case(tmp_path / "b").tensors["out/y"] * factor})
    assert check(tmp_path, capsys) == found


@pytest.mark.parametrize("value", [np.array([2, 4]), np.array([2.0, 3.0]), np.array([2, 3, 3])])
def test_another_whole_number_dtype_or_shape_is_found(modules, tmp_path, capsys, value):
    generate.main([], tmp_path)
    change(tmp_path / "a", **{"out/n": value})
    assert check(tmp_path, capsys) == ["a: out/n differs"]


def test_missing_arrays_and_files_are_found(modules, tmp_path, capsys):
    generate.main([], tmp_path)
    change(tmp_path / "a", **{"out/n": None})
    (tmp_path / "c" / "vectors.npz").unlink()
    first, second = check(tmp_path, capsys)
    assert first.startswith(f"{tmp_path / 'a'} is not a readable case")
    assert second.startswith(f"{tmp_path / 'c'} is not a readable case")


def test_a_changed_manifest_is_found(modules, tmp_path, capsys):
    generate.main([], tmp_path)
    path = tmp_path / "a" / "manifest.json"
    path.write_text(path.read_text().replace("0.001", "0.1"))
    assert check(tmp_path, capsys) == ["a: the manifest differs"]


def test_an_array_missing_from_the_manifest_too_is_found(modules, tmp_path, capsys):
    generate.main([], tmp_path)
    path = tmp_path / "a" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["tensors"]["out/n"]
    path.write_text(json.dumps(manifest))
    assert check(tmp_path, capsys) == ["a: the manifest differs", "a: out/n differs"]


def test_a_stray_directory_is_found(modules, tmp_path, capsys):
    generate.main([], tmp_path)
    (tmp_path / "authors").mkdir()  # holds no case
    (tmp_path / "a").rename(tmp_path / "old")
    generate.main(["a"], tmp_path)
    assert check(tmp_path, capsys) == ["old: no module makes it"]
    assert check(tmp_path, capsys, "a") == []


def test_measured_errors_become_tolerances(modules, tmp_path):
    errors = {"a": {"out/y": {"float32": 3e-6}, "out/n": {}}}
    (tmp_path / "errors.json").write_text(json.dumps(errors))
    generate.main([], tmp_path)
    entries = read_case(tmp_path / "a").entries
    assert entries["out/y"]["tolerance"] == {"float64": 1e-3, "float32": 5e-5}
    assert "tolerance" not in entries["out/n"]
    assert "float32" not in read_case(tmp_path / "b").entries["out/y"]["tolerance"]


def test_a_module_is_anything_that_builds(monkeypatch):
    monkeypatch.setattr(generate, "MODULES", (SimpleNamespace(build=lambda: []),))
    assert generate.build() == []


def imported(path) -> set[str]:
    """Modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def test_the_oracle_shares_nothing_with_the_reference():
    files = [path for path in Path(generate.__file__).parent.rglob("*.py")
             if path.name != "measure.py"]  # holds the reference against it
    assert len(files) > 20
    for path in files:
        foreign = {name for name in imported(path)
                   if name.split(".")[0] not in sys.stdlib_module_names
                   and name not in ("numpy", "reference.conformance.vectors")
                   and name.split(".")[:2] != ["tests", "oracle"]}
        assert not foreign, f"{path.name} imports {sorted(foreign)}"


def test_the_stored_files_stay_small():
    total = sum(path.stat().st_size for path in generate.GOLDEN.rglob("*") if path.is_file())
    assert 100_000 < total <= 2_000_000
