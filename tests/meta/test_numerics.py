"""The table of measured errors: how it is made, read and held against this machine."""

from __future__ import annotations

import numpy as np
import torch

from reference.conformance.vectors import Case, read_case, read_cases
from tests.support import numerics
from tests.support.helpers import assert_equal

WANT = np.array([4.0, -1.0])
CASE = Case("a", "a", {}, {"in/x": np.array([1.0, 1 + 2**-7, 1 + 2**-12]),
                           "in/n": np.array([257]), "noise/u": np.array([1 + 2**-12]),
                           "out/y": WANT, "loss/total": np.array(0.0), "out/n": np.array([3])},
            {"in/x": {}, "in/n": {}, "noise/u": {},
             "out/y": {"shape": [2], "dtype": "float64"},
             "loss/total": {"shape": [], "dtype": "float64"},
             "out/n": {"shape": [1], "dtype": "int64"}})


def test_rounded_inputs_hold_bf16_numbers_and_the_noise_stays():
    rounded = numerics.Rounded(*CASE)
    given = rounded.given("in", "float32")
    assert given["x"].dtype == np.float32 and given["n"].dtype == np.int64
    assert_equal("x", given["x"], [1.0, 1 + 2**-7, 1.0])
    assert_equal("whole numbers", given["n"], [257])
    assert_equal("noise", rounded.given("noise", "float32")["u"], [1 + 2**-12])


def test_moved_makes_half_results_readable_and_leaves_no_trace():
    before = torch.from_numpy, torch.Tensor.numpy, torch.Tensor.__array__
    with numerics.moved("cpu"):
        x = torch.from_numpy(np.float32([1.5, -2.0])).to(torch.bfloat16)
        for got in (np.asarray(x), x.numpy(), np.asarray(x, np.float64)):
            assert_equal("x", got, [1.5, -2.0])
        assert np.asarray(x, np.float64).dtype == np.float64
    assert before == (torch.from_numpy, torch.Tensor.numpy, torch.Tensor.__array__)


def test_errors_are_relative_to_the_largest_magnitude():
    got = {"out/y": WANT + np.array([0.0, 0.5]), "loss/total": 0.25, "out/n": np.array([9])}
    assert numerics.errors(CASE, got) == {"out/y": 0.125, "loss/total": 0.25}


def test_measure_takes_the_worst_and_says_where_nothing_ran(monkeypatch):
    def port(case, dtype):
        x = torch.from_numpy(case.given("in", dtype)["x"])
        product = x @ x
        error = 0.5 if product.dtype == torch.bfloat16 else 0.25
        return {"out/y": np.float32(WANT + np.array([0.0, error])), "loss/total": np.float32(0)}

    def wide(case, dtype):
        return {"out/y": WANT, "loss/total": 0.0}
    monkeypatch.setattr(numerics, "COMPONENTS", {"a": port, "b": wide})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = numerics.measure([CASE, CASE._replace(component="b")])
    assert rows == {
        ("a", "forward"): {"float32": 0.0625, "bf16": 0.125, "tf32": None},
        ("a", "loss"): {"float32": 0.0, "bf16": 0.0, "tf32": None},
        ("b", "forward"): {"float32": 0.0, "bf16": None, "tf32": None},
        ("b", "loss"): {"float32": 0.0, "bf16": None, "tf32": None}}
    assert numerics.read_table(numerics.table(rows))["a", "forward"] == {
        "float32": 0.062, "bf16": 0.12, "tf32": None}  # two digits


def test_tf32_is_allowed_only_within():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    with numerics.tf32_products():
        assert matmul.allow_tf32 and cudnn.allow_tf32
    assert before == (matmul.allow_tf32, cudnn.allow_tf32)


def test_disagreements():
    def rows(**errors):
        return {("a", "loss"): {"float32": 1e-6, "bf16": None, "tf32": None, **errors}}
    assert numerics.disagreements(rows(), rows()) == []
    assert numerics.disagreements(rows(float32=9e-6), rows()) == []  # 8e-6 rounds up to 1e-5
    for error in (1.1e-5, float("inf"), float("nan")):
        (line,) = numerics.disagreements(rows(float32=error), rows())
        assert line.startswith(f"a loss: float32 error {error:.1e}, the table has 1.0e-06")
    assert numerics.disagreements(rows(bf16=1.0), rows()) == []  # nothing was written of it
    assert numerics.disagreements(rows(), {}) == ["a loss: only on one side"]
    assert numerics.disagreements({}, rows()) == ["a loss: only on one side"]


def test_main_writes_and_checks(monkeypatch, tmp_path, capsys):
    error = {"float32": 2e-7, "bf16": 3e-3, "tf32": None}
    monkeypatch.setattr(numerics, "measure", lambda cases: {("a", "loss"): dict(error)})
    path = tmp_path / "NUMERICS.md"
    assert numerics.main([], path) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["NUMERICS.md"]
    assert numerics.read_table(path.read_text()) == {("a", "loss"): error}
    assert numerics.main(["--check"], path) == 0
    error["bf16"] = 0.1
    assert numerics.main(["--check"], path) == 1
    assert "a loss: bf16 error 1.0e-01" in capsys.readouterr().out


def test_bf16_is_coarser_than_float32():
    case = read_case(numerics.GOLDEN / "clip_loss")
    rows = numerics.measure([case], ("float32", "bf16"))
    for level in ("forward", "loss", "gradient"):
        fine, coarse = (rows["clip_loss", level][p] for p in ("float32", "bf16"))
        assert 0 < fine < 1e-5 < coarse < 0.1


def test_this_machine_is_within_the_tolerances_of_the_written_table():
    written = numerics.read_table(numerics.TABLE.read_text())
    rows = numerics.measure(read_cases(numerics.GOLDEN), ("float32",))
    assert numerics.disagreements(rows, written) == []
