"""reference.kernels.triton_clip against the plain loss in float64, under the interpreter."""

from __future__ import annotations

import pytest
import torch

from reference.kernels import fused
from tests.support.kernels import (
    BFLOAT16,
    COSINE,
    DEVICE,
    SIZES,
    assert_same,
    loss_and_gradients,
    needs_triton,
    pair,
    wanted,
)


@needs_triton
@pytest.mark.parametrize("B, D", SIZES)
def test_clip_loss_fused(B, D):
    z = pair(B, D, torch.float32)
    assert_same(loss_and_gradients(fused.clip_loss_fused, *z), wanted(*z), COSINE / 0.1,
                COSINE / 0.1)


@needs_triton
def test_clip_loss_fused_at_a_thousand():
    z = pair(1000, 24, torch.float32)
    assert_same(loss_and_gradients(fused.clip_loss_fused, *z), wanted(*z), COSINE / 0.1,
                COSINE / 0.1)


@needs_triton
@pytest.mark.parametrize("B, D", [(20, 129), (40, 300), (70, 256)])
def test_clip_loss_fused_of_wide_embeddings(B, D):
    z = pair(B, D, torch.float32)
    assert_same(loss_and_gradients(fused.clip_loss_fused, *z, 0.1, 0.6), wanted(*z, 0.1, 0.6),
                COSINE / 0.1, COSINE / 0.1)


@needs_triton
@pytest.mark.parametrize("rows, columns, width", [(128, 128, 32), (64, 64, 16), (16, 64, 16),
                                                  (32, 32, 32)])
def test_clip_loss_fused_with_any_tiles(rows, columns, width, monkeypatch):
    from reference.kernels import triton_clip
    monkeypatch.setattr(triton_clip, "tiles",
                        lambda *_: triton_clip.Tiles(rows, columns, width, 4, 2))
    z = pair(257, 30, torch.float32)
    assert_same(loss_and_gradients(fused.clip_loss_fused, *z), wanted(*z), COSINE / 0.1,
                COSINE / 0.1)


@needs_triton
@pytest.mark.parametrize("programs", [1, 3, 16])
def test_clip_loss_fused_with_few_programs(programs, monkeypatch):
    from reference.kernels import triton_clip
    monkeypatch.setattr(triton_clip, "PROGRAMS", programs)
    monkeypatch.setattr(triton_clip, "FINISH", 64)
    z = pair(257, 9, torch.float32)  # 17 tiles of rows
    assert_same(loss_and_gradients(fused.clip_loss_fused, *z), wanted(*z), COSINE / 0.1,
                COSINE / 0.1)


@needs_triton
@pytest.mark.parametrize("temperature, weight", [(0.025, 0.75), (0.1, 0.0), (1.0, 1.0)])
def test_clip_loss_fused_numbers(temperature, weight):
    z = pair(70, 9, torch.float32)
    assert_same(loss_and_gradients(fused.clip_loss_fused, *z, temperature, weight),
                wanted(*z, temperature, weight), COSINE / temperature, COSINE / temperature)


@needs_triton
@pytest.mark.parametrize("dtype, step", [(torch.bfloat16, BFLOAT16), (torch.float16, 2.0**-10)])
@pytest.mark.parametrize("B", [64, 257])
def test_clip_loss_fused_narrow(B, dtype, step):
    z = pair(B, 20, dtype)
    # on a card the weights of the second product are rounded too: one more step
    tolerance = step if DEVICE.type == "cpu" else 4 * step
    assert_same(loss_and_gradients(fused.clip_loss_fused, *z), wanted(*z), 1e-5, tolerance)


@needs_triton
def test_clip_loss_fused_repeats_its_bits():
    z = pair(130, 9, torch.float32)
    first, second = (loss_and_gradients(fused.clip_loss_fused, *z) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


@needs_triton
@pytest.mark.parametrize("options, error, words", [
    ({"temperature": 0.02}, ValueError, "at least 0.025"),
    ({"precision": "ieee"}, ValueError, "'tf32x3' or 'tf32', got 'ieee'"),
    ({"z_cmr": torch.ones(5, 3, dtype=torch.float64),
      "z_ecg": torch.ones(5, 3, dtype=torch.float64)}, TypeError, "float64"),
    ({"z_cmr": torch.ones(1, 1).expand(2**23, 1), "z_ecg": torch.ones(1, 1).expand(2**23, 1)},
     ValueError, "8388608 x 1; at most 2147483647 numbers, and 8388607 rows")])
def test_clip_loss_fused_bad_input(options, error, words):
    with pytest.raises(error, match=words):
        fused.clip_loss_fused(**{"z_cmr": torch.ones(5, 3), "z_ecg": torch.ones(5, 3),
                                   **options})
