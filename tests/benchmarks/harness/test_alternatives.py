"""Others' packages: the same result where they are installed, and never needed."""

from __future__ import annotations

import ast
import sys

import numpy as np
import pytest

from benchmarks.harness.alternatives import ALTERNATIVES, alternative
from reference.baseline import asymmetric_least_squares
from tests.support.benchmarking import FOLDER, suite
from tests.support.helpers import ROOT, assert_close, assert_equal


def test_scipy_baseline_is_ours():
    pytest.importorskip("scipy")
    y = np.random.default_rng(0).normal(size=(2, 60)).cumsum(axis=1)
    assert_close("z", alternative("scipy")(y, 1e3, 0.3, 5),
                 asymmetric_least_squares(y, 1e3, 0.3, 5), rtol=1e-8, atol=1e-8)


NEEDED = {"torch", "numpy", "pytest", "benchmarks", "reference"}
OTHERS = sorted({package.split(".")[0] for package, _ in ALTERNATIVES.values()}
                | {"matplotlib", "triton", "wfdb"})
HIDING = "import sys\nsys.modules.update(dict.fromkeys({names}))\n"  # None: cannot be imported


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")),
                         ids=lambda p: p.relative_to(FOLDER).as_posix())
def test_nothing_else_is_imported_when_a_module_is(path):
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
            assert not node.module.startswith("benchmarks.test_"), "an operation stands alone"
    assert_equal("others", names - NEEDED - set(sys.stdlib_module_names), set())


def test_suite_runs_from_a_bare_checkout(tmp_path):
    (tmp_path / "hiding.py").write_text(HIDING.format(names=OTHERS))
    for name in ("benchmarks", "reference", "setup.cfg"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = suite("-p", "hiding", "benchmarks", "--bench-device", "cpu", "-rs", "-k",
                 "jitter_rescale and B8 or auroc and N1e4 or als_alternatives", at=tmp_path,
                 PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 4 skipped" in done.stdout, done.stdout
    for name in ("scipy", "pybaselines", "sklearn", "torchmetrics"):
        assert f"{name} is not installed" in done.stdout, done.stdout
