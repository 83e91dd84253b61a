"""Names of variants, and what they make of a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.harness import variants
from tests.support.benchmarking import CPU
from tests.support.helpers import assert_equal


def test_precision_and_itemsize():
    assert_equal("precision", [variants.precision(n) for n in
                               ("nhwc-bfloat16-compiled", "eager", "nchw-float32", "float16")],
                 ["bfloat16", "float32", "float32", "float16"])
    assert_equal("otherwise", variants.precision("nchw-float32", "tf32"), "tf32")
    assert_equal("bytes", [variants.itemsize(n) for n in ("float16", "tf32")], [2, 4])


def test_layout():
    assert variants.layout("nhwc") is torch.channels_last
    assert variants.layout("eager") is torch.contiguous_format


def test_variant():
    network = nn.Conv2d(3, 4, 3)
    got = variants.variant(network, "nhwc-bfloat16")
    assert_equal("parameters", [p is q for p, q in zip(got.parameters(), network.parameters(),
                                                       strict=True)], [True, True])
    x = torch.rand(1, 3, 5, 5)
    assert got(x).dtype == torch.bfloat16 and network.weight.is_contiguous(
        memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="unknown words"):
        variants.variant(network, "float8")


def test_only_gradients_of_a_resnet_may_be_further_off():
    for computed, tolerance in variants.TOLERANCE.items():
        assert_equal("forward", variants.tolerance_of_resnet(computed, "forward"), tolerance)
        assert variants.tolerance_of_resnet(computed, "backward") > tolerance


def test_triton_is_asked_of_a_card_alone():
    variants.need_triton(torch.device("cuda", 0))
    with pytest.raises(pytest.skip.Exception, match="CUDA card"):
        variants.need_triton(CPU)


def test_only_a_missing_compiler_is_skipped():
    error = RuntimeError("InvalidCxxCompiler: No working C++ compiler found in x")
    assert variants.not_compiled(error)
    assert variants.not_compiled(RuntimeError("Cannot find a working triton installation. Either"))
    assert not variants.not_compiled(RuntimeError("backend='inductor' raised: AssertionError"))
    assert not variants.not_compiled(AssertionError("No working C++ compiler found"))
