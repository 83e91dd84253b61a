"""reference.kernels.fused: chunked forms against the plain ones, and refusals."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reference.contrastive_loss import clip_loss
from reference.kernels import fused
from tests.support.helpers import ROOT
from tests.support.kernels import (
    BFLOAT16,
    DEVICE,
    SIZES,
    assert_same,
    loss_and_gradients,
    needs_triton,
    pair,
    wanted,
)

# ---- chunked ----

@pytest.mark.parametrize("rows", [None, 1, 7, 64, 1000])
@pytest.mark.parametrize("B, D", SIZES)
def test_clip_loss_chunked(B, D, rows):
    z = pair(B, D)
    assert_same(loss_and_gradients(fused.clip_loss_chunked, *z, 0.1, 0.75, rows=rows),
                wanted(*z, 0.1, 0.75), 1e-12, 1e-12)


@pytest.mark.parametrize("temperature, weight", [(0.1, 0.0), (0.1, 1.0), (0.005, 0.5), (3.0, 0.3)])
def test_clip_loss_chunked_numbers(temperature, weight):
    z = pair(33, 9)
    assert_same(loss_and_gradients(fused.clip_loss_chunked, *z, temperature, weight, rows=10),
                wanted(*z, temperature, weight), 1e-12, 1e-11)


@pytest.mark.parametrize("dtype, loss_tolerance, gradient_tolerance", [
    (torch.float32, 1e-6, 2e-6), (torch.bfloat16, 1e-6, BFLOAT16)])
def test_clip_loss_chunked_narrow(dtype, loss_tolerance, gradient_tolerance):
    z = pair(257, 20, dtype)
    got = loss_and_gradients(fused.clip_loss_chunked, *z, rows=50)
    assert_same(got, wanted(*z), loss_tolerance, gradient_tolerance)


def test_clip_loss_chunked_gradcheck():
    z = pair(6, 4)
    assert torch.autograd.gradcheck(
        lambda a, b: fused.clip_loss_chunked(a, b, 0.3, 0.6, rows=4), z)


def test_clip_loss_chunked_under_autocast():
    z = pair(40, 8, torch.float32)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        got = loss_and_gradients(fused.clip_loss_chunked, *z, rows=16)
    assert_same(got, wanted(*z), 1e-6, 2e-6)


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(found) if isinstance(x, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return found


def peak(loss, B: int, D: int, **options) -> tuple[int, int]:
    """Largest tensor of forward and backward, and numbers saved between them."""
    saved = []
    z = pair(B, D, torch.float32)
    with Largest() as largest, torch.autograd.graph.saved_tensors_hooks(
            lambda x: (saved.append(x.numel()), x)[1], lambda x: x):
        loss(*z, **options).backward()
    return largest.numel, sum(saved)


def test_clip_loss_chunked_is_linear_in_the_batch():
    B, D, rows = 512, 4, 8
    largest, saved = peak(fused.clip_loss_chunked, B, D, rows=rows)
    assert largest == rows * B
    assert saved == 2 * B * D + 2 * B
    plain, kept = peak(clip_loss, B, D)
    assert plain == B * B and kept >= B * B  # the instrument sees the matrix where there is one


def test_rows_at_once_are_bounded(monkeypatch):
    monkeypatch.setattr(fused, "LOGITS_AT_ONCE", 1024)
    monkeypatch.setattr(fused, "LEAST_ROWS", 1)
    assert peak(fused.clip_loss_chunked, 256, 4)[0] == 1024
    monkeypatch.setattr(fused, "LOGITS_AT_ONCE", 10)
    monkeypatch.setattr(fused, "LEAST_ROWS", 3)
    assert peak(fused.clip_loss_chunked, 33, 1)[0] == 3 * 33


def test_clip_loss_auto(monkeypatch):
    monkeypatch.setattr(fused, "PLAIN_BATCH", 8)
    for B in (8, 9):
        z = pair(B, 3)
        assert_same(loss_and_gradients(fused.clip_loss_auto, *z, 0.2, 0.6),
                    wanted(*z, 0.2, 0.6), 1e-12, 1e-12)
        name = fused.clip_loss_auto(*z).grad_fn.name()
        assert ("Chunked" in name) == (B > 8)


def forms() -> list:
    fused = pytest.param("clip_loss_fused", marks=needs_triton)
    return ["clip_loss_chunked", fused]


@pytest.mark.parametrize("form", forms())
def test_a_zero_row_passes_no_gradient(form):
    a, b = pair(5, 4, torch.float32)
    with torch.no_grad():
        a[2] = 0
    got, want = loss_and_gradients(getattr(fused, form), a, b), wanted(a, b)
    assert not got[1][2].any()
    assert_same(got, want, 1e-6, 2e-6)


@pytest.mark.parametrize("form", forms())
@pytest.mark.parametrize("change, error, words", [
    ({"z_ecg": torch.zeros(4, 3)}, ValueError, "shapes"),
    ({"z_ecg": torch.zeros(5, 3, dtype=torch.int64)}, TypeError, "floating"),
    ({"temperature": 0.0}, ValueError, "temperature=0.0"),
    ({"temperature": -1.0}, ValueError, "temperature=-1.0"),
    ({"temperature": float("nan")}, ValueError, "temperature=nan"),
    ({"weight": 1.5}, ValueError, "weight=1.5")])
def test_bad_input(form, change, error, words):
    options = {"z_cmr": torch.ones(5, 3), "z_ecg": torch.ones(5, 3), **change}
    with pytest.raises(error, match=words):
        getattr(fused, form)(**options)


def test_clip_loss_chunked_needs_a_row():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        fused.clip_loss_chunked(*pair(3, 2), rows=0)


# ---- Triton ----


def run_python(code: str, **environment: str) -> str:
    """Output of a fresh interpreter."""
    kept = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True, env={**kept, **environment})
    return done.stdout.strip()


def test_without_triton_one_line_says_how_to_get_it():
    words = run_python(
        "import sys, torch\n"
        "sys.modules['triton'] = None\n"
        "from reference.kernels import fused\n"
        "print(float(fused.clip_loss_chunked(torch.eye(3), torch.eye(3))) > 0)\n"
        "try:\n    fused.clip_loss_fused(torch.eye(3), torch.eye(3))\n"
        "except RuntimeError as error:\n    print(error)")
    assert words.splitlines() == ["True", "the fused kernels need Triton: pip install "
                                  "'ecgcmr-reference[kernels]'"]


@needs_triton
def test_a_cpu_tensor_without_the_interpreter_is_refused():
    words = run_python(
        "import torch\nfrom reference.kernels import fused\n"
        "try:\n    fused.clip_loss_fused(torch.eye(3), torch.eye(3))\n"
        "except ValueError as error:\n    print(error)")
    assert "run on cuda, got a tensor on cpu" in words
