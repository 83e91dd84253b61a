"""What is made of finished runs: the table in the documentation, the figures, the launch count."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.harness import figures, tables
from benchmarks.harness.launches import launches
from tests.benchmarks.harness.test_tables import row, saved
from tests.support.helpers import ROOT, assert_close, assert_equal

CPU = torch.device("cpu")
README = ROOT / "benchmarks" / "README.md"
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_documentation_holds_the_committed_results(path):
    text = README.read_text(encoding="utf-8")
    assert tables.with_block(text, path) == text, (
        f"python -m benchmarks report benchmarks/results/{path.name} --readme benchmarks/README.md")


def test_readme_block_is_replaced(tmp_path, capsys):
    a = saved(tmp_path / "a.json", row("p", 1.5e-3))
    document = tmp_path / "doc.md"
    document.write_text("before\n<!-- table of a.json -->\nold\n<!-- end of the table -->\nafter\n")
    assert_equal("status", main(["report", a, "--readme", str(document)]), 0)
    text = document.read_text()
    assert text.startswith("before\n<!-- table of a.json -->") and text.endswith("-->\nafter\n")
    assert "old" not in text and "1.5 ms" in text and str(tmp_path) not in text
    assert_equal("again", tables.with_block(text, a) == text, True)
    document.write_text("no marks")
    assert_equal("status", main(["report", a, "--readme", str(document)]), 2)
    assert_equal("document", document.read_text() == "no marks", True)
    assert_equal("status", main(["report", a, "--readme", str(tmp_path / "absent")]), 2)
    assert "no block" in (errors := capsys.readouterr().err) and "absent" in errors


def sized(shape: str, p50: float, **other) -> dict:
    """A row of one operation at a size."""
    return row("clip", p50, shape=shape, **other)


def test_scaling_and_points(tmp_path):
    run = tables.read(saved(tmp_path / "a", sized("B256", 2.0), sized("B64", 1.0),
                            sized("wide-B64", 3.0), sized("B64", 4.0, implementation="fused"),
                            row("auroc", 1.0, shape="N1e4"), row("auroc", 9.0, shape="N1e5"),
                            row("copy", 1.0, shape="copy", flops=0)))
    found = figures.scaling(run)
    assert_equal("operations", " ".join(sorted(found)), "auroc clip")
    assert_equal("clip", found["clip"] == {"ours forward host": [(64, 1.0), (256, 2.0)]}, True)
    assert_equal("auroc", found["auroc"]["ours forward host"], [(10_000, 1.0), (100_000, 9.0)])
    intensities = figures.points(run)
    assert "copy" not in intensities
    assert_close("point", intensities["auroc"][1], (1e3, 1e9 / 9), rtol=1e-12)


def test_figures_command(tmp_path, capsys, monkeypatch):
    a = saved(tmp_path / "a", sized("B64", 1.0), sized("B256", 2.0))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert_equal("status", main(["report", a, "--figures", str(tmp_path / "f")]), 2)
    error = capsys.readouterr().err
    assert "pip install matplotlib" in error and error.count("\n") == 1, error
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    assert_equal("status", main(["report", a, "--figures", str(tmp_path / "f")]), 0)
    names = sorted(p.name for p in (tmp_path / "f").iterdir())
    assert_equal("files", " ".join(names), "roofline.png scaling-clip.png")
    assert all((tmp_path / "f" / n).read_bytes().startswith(b"\x89PNG") for n in names)
    assert "scaling-clip.png" in capsys.readouterr().out


def test_launches_on_a_cpu():
    x = torch.rand(3, 4)
    got = launches(lambda: (x.T.reshape(-1)[2:] + 1).sin(), CPU)  # reshape copies: 3 operations
    assert_equal("launches", (got.count, got.kind), (3, "dispatched operations"))
    assert launches(lambda: x.T[1:].unsqueeze(0), CPU).count is None, "views launch nothing"
    y = x.requires_grad_()
    out = y.sin().sum()
    backward = launches(lambda: torch.autograd.grad(out, y, retain_graph=True), CPU)
    assert backward.count and backward.count >= 2, "cosine and product at least"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_launches_on_cuda():
    x = torch.rand(3, 4, device="cuda")
    body = lambda: (x + 1).sin()  # noqa: E731
    body()
    got = launches(body, x.device)
    assert_equal("launches", (got.count, got.kind), (2, "kernels"))
