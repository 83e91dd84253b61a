"""Points and lines of the figures, and the files drawn."""

from __future__ import annotations

import pytest

from benchmarks.harness import figures, tables
from tests.support.benchmarking import row, saved, sized
from tests.support.helpers import assert_close, assert_equal


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


def test_draw(tmp_path):
    pytest.importorskip("matplotlib")
    run = tables.read(saved(tmp_path / "a", sized("B64", 1.0), sized("B256", 2.0)))
    written = figures.draw(run, tmp_path / "f")
    assert_equal("files", [path.name for path in written], ["roofline.png", "scaling-clip.png"])
    assert sorted(written) == sorted((tmp_path / "f").iterdir()), "nothing is left beside them"
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
