"""Run times of whole stages from measured steps."""

from __future__ import annotations

import pytest

from benchmarks.harness import projection, tables
from tests.support.benchmarking import row, saved, step
from tests.support.helpers import assert_close, assert_equal


@pytest.mark.parametrize("shape, batch", [("B2", 2), ("resnet50-B256", 256),
                                          ("resnet18-78px-B2", 2), ("records4096", 4096)])
def test_batch_of(shape, batch):
    assert_equal("batch", projection.batch_of(shape), batch)


@pytest.mark.parametrize("shape", ["record8", "B", "B2-wide", "records", ""])
def test_batch_of_a_shape_without_one(shape):
    with pytest.raises(ValueError, match=f"shape '{shape}'"):
        projection.batch_of(shape)


def test_steps_are_those_of_the_paper():
    steps = {stage.name: stage.steps for stage in projection.STAGES}
    assert_equal("MDM", steps["MDM"], 400 * 218)  # 28,030 = 218 x 128 + 126
    assert_equal("MMCL", steps["MMCL"], 300 * 109)


def test_baselines_of_the_cohort(tmp_path):
    run = tables.read(saved(tmp_path / "a", step("als", "records1", 1e-3),
                            step("als", "records4096", 0.5)))
    (found,) = projection.project(run)
    assert_equal("stage", (found.stage.name, found.stage.steps, found.batch),
                 ("baselines", 1, 4096))
    assert_close("seconds", found.seconds, 0.5 * 40_044 / 4096, rtol=1e-12)
    assert "scaled from B 4096 to 40044" in projection.table(run)


def test_project(tmp_path):
    run = tables.read(saved(
        tmp_path / "a", step("mdm_step", "B64", 1e-3), step("mdm_step", "B128", 3e-3),
        step("mdm_step", "B64", 2e-3, implementation="bfloat16"),
        step("mmcl_step", "resnet50-B128", 50e-3), row("auroc", 1.0)))
    found = projection.project(run)
    assert_equal("stages", " ".join(p.stage.name for p in found), "MDM MDM MMCL")
    exact, scaled, mmcl = found
    assert_equal("implementations", (exact.row["implementation"], scaled.row["implementation"]),
                 ("ours", "bfloat16"))
    assert_close("nearest batch", exact.seconds, 87_200 * 3e-3, rtol=1e-12)
    assert_close("scaled by records", scaled.seconds, 87_200 * 2 * 2e-3, rtol=1e-12)
    assert_close("MMCL", mmcl.seconds, 32_700 * 2 * 50e-3, rtol=1e-12)
    for p in found:
        assert_close("floor", p.floor, p.seconds / 2, rtol=1e-12)
        assert_close("range", [p.low, p.high], [0.999 * p.seconds, 1.001 * p.seconds], rtol=1e-12)


def test_architectures_and_image_sizes_stay_apart(tmp_path):
    run = tables.read(saved(tmp_path / "a", step("mmcl_step", "resnet18-78px-B2", 1e-3),
                            step("mmcl_step", "resnet18-B256", 40e-3)))
    found = projection.project(run)
    assert_equal("stages", {p.stage.name for p in found} == {"MMCL, ResNet-18"}, True)
    assert_equal("shapes", sorted(p.row["shape"] for p in found),
                 ["resnet18-78px-B2", "resnet18-B256"])
