"""Fused and chunked variants against the plain forms in float64; Triton under its interpreter."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reference.baseline import asymmetric_least_squares
from reference.contrastive_loss import clip_loss
from reference.kernels import fused
from reference.masked_modelling import MaskedAutoencoder
from tests.support.helpers import ROOT, assert_close
from tests.support.signals import dense_baseline

HAVE_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAVE_TRITON, reason="triton is not installed")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# bfloat16 carries 8 bits: the loss and its gradients are exact sums of products of rounded inputs,
# but the gradients are rounded once more when they are returned, half a unit in 2^-8
BFLOAT16 = 2.0**-8
# Rounding of a cosine in float32; the loss and the exponents of its gradients see it over T.
COSINE = 4 * 2.0**-23
SIZES = ((1, 5), (2, 3), (64, 16), (65, 17), (257, 33), (130, 128))


def pair(B: int, D: int, dtype=torch.float64, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Embeddings of unequal lengths, partners correlated."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(B, D, generator=draw, dtype=torch.float64)
    other = z + torch.randn(B, D, generator=draw, dtype=torch.float64)
    other *= torch.rand(B, 1, generator=draw, dtype=torch.float64) * 5 + 0.1
    return tuple(x.to(DEVICE, dtype).requires_grad_() for x in (z, other))


def loss_and_gradients(loss, z_cmr, z_ecg, *numbers, **options) -> list[np.ndarray]:
    """Loss, gradient by CMR, gradient by ECG as float64."""
    value = loss(z_cmr, z_ecg, *numbers, **options)
    found = [value, *torch.autograd.grad(2.5 * value, (z_cmr, z_ecg))]
    return [x.detach().cpu().double().numpy() for x in found]


def wanted(z_cmr, z_ecg, *numbers) -> list[np.ndarray]:
    """The plain loss in float64 of the very same inputs."""
    wide = [z.detach().double().requires_grad_() for z in (z_cmr, z_ecg)]
    return loss_and_gradients(clip_loss, *wide, *numbers)


def assert_same(got, want, loss_tolerance: float, gradient_tolerance: float) -> None:
    """Loss and gradients within relative tolerances of their largest entries."""
    assert_close("loss", got[0], want[0], rtol=loss_tolerance, atol=loss_tolerance)
    for name, g, w in zip(("by CMR", "by ECG"), got[1:], want[1:]):
        scale = max(np.abs(w).max(), 1 / len(w))  # a single pair has none but rounding
        assert_close(f"gradient {name}", g / scale, w / scale, rtol=0, atol=gradient_tolerance)


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
    assert all((a == b).all() for a, b in zip(first, second))


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


def records(B: int, V: int, T: int, P: int, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
    """Input off its zero and a prediction that correlates with it; one lead of each is constant."""
    draw = torch.Generator().manual_seed(T)
    x = torch.randn(B, 1, V, T, generator=draw) + 3
    y = x + torch.randn(B, 1, V, T, generator=draw)
    x[0, 0, 0], y[-1, 0, -1] = 2.0, -1.0
    return x.to(DEVICE), y.reshape(B, V * T // P, P).to(DEVICE, dtype).requires_grad_()


def plain_reconstruction(x: torch.Tensor, prediction: torch.Tensor,
                         weight: float) -> list[np.ndarray]:
    """Loss and gradient of the very same numbers by the network's own loss in float64."""
    _, _, V, T = x.shape
    P = prediction.shape[-1]
    network = MaskedAutoencoder((1, V, T), (1, P), 4, 0, 1, 4, 0, 1, weight)
    y = prediction.detach().double().requires_grad_()
    loss = network.loss(x.double(), y, x.new_ones(len(x), V * T // P))
    return [v.detach().cpu().numpy() for v in (loss, *torch.autograd.grad(2.5 * loss, y))]


@needs_triton
@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("B, V, T, P", [(2, 3, 20, 10), (1, 1, 2, 1), (3, 2, 1024, 64),
                                        (2, 1, 2500, 100)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.bfloat16, BFLOAT16)])
def test_reconstruction_loss_fused(B, V, T, P, weight, dtype, tolerance):
    x, prediction = records(B, V, T, P, dtype)
    loss = fused.reconstruction_loss_fused(x, prediction, weight)
    gradient, = torch.autograd.grad(2.5 * loss, prediction)
    assert loss.dtype == torch.float32 and gradient.dtype == dtype
    want, slope = plain_reconstruction(x, prediction, weight)
    assert_close("loss", loss.item(), want, rtol=2e-6, atol=2e-6)
    got = gradient.cpu().double().numpy()
    constant = np.zeros(x.shape, bool)  # its variance is rounding + 1e-12: no slope to compare
    constant[-1, 0, -1] = weight > 0
    assert_close("gradient", got[~constant.reshape(got.shape)],
                 slope[~constant.reshape(got.shape)], rtol=tolerance,
                 atol=tolerance * np.abs(slope[~constant.reshape(got.shape)]).max(initial=1e-30))


@needs_triton
def test_reconstruction_loss_fused_takes_any_strides():
    x, prediction = records(4, 6, 40, 10)
    want = fused.reconstruction_loss_fused(x, prediction)
    turned = prediction.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_()
    got = fused.reconstruction_loss_fused(x.transpose(2, 3).contiguous().transpose(2, 3), turned)
    assert got == want
    first, second = torch.autograd.grad(want, prediction), torch.autograd.grad(got, turned)
    assert torch.equal(first[0], second[0])


@needs_triton
@pytest.mark.parametrize("change, error, words", [
    ({"x": torch.zeros(2, 3, 20)}, ValueError, r"\[2, 3, 20\]"),
    ({"x": torch.zeros(2, 2, 3, 20)}, ValueError, "are needed"),
    ({"x": torch.zeros(2, 1, 6, 1), "prediction": torch.zeros(2, 6, 1)}, ValueError, "T >= 2"),
    ({"prediction": torch.zeros(2, 4, 15)}, ValueError, "P dividing T"),
    ({"prediction": torch.zeros(2, 5, 10)}, ValueError, "are needed"),
    ({"prediction": torch.zeros(3, 6, 10)}, ValueError, "are needed"),
    ({"ncc_weight": 1.5}, ValueError, "ncc_weight=1.5"),
    ({"prediction": torch.zeros(2, 6, 10, dtype=torch.float64)}, TypeError, "float64"),
    ({"x": torch.zeros(2, 1, 3, 20, requires_grad=True)}, ValueError, "asks for a gradient"),
    ({"prediction": torch.zeros(2, 6, 10, device="meta")}, ValueError, "on meta")])
def test_reconstruction_loss_fused_bad_input(change, error, words):
    with pytest.raises(error, match=words):
        fused.reconstruction_loss_fused(**{"x": torch.zeros(2, 1, 3, 20),
                                             "prediction": torch.zeros(2, 6, 10), **change})


def lanes(count: int, T: int) -> torch.Tensor:
    """Wander and noise, a constant lane and a straight one among them."""
    draw = torch.Generator().manual_seed(T)
    y = torch.randn(count, T, generator=draw, dtype=torch.float64)
    y += torch.randn(count, T, generator=draw, dtype=torch.float64).cumsum(1)
    if count > 3:
        y[1], y[3] = 2.5, torch.arange(T) / 4
    return y


@needs_triton
@pytest.mark.parametrize("count, T", [(1, 3), (5, 4), (40, 16), (33, 37)])
@pytest.mark.parametrize("lam, p, iterations", [(1e2, 0.3, 5), (1e4, 0.7, 3), (10.0, 0.1, 1)])
def test_asymmetric_least_squares_fused(count, T, lam, p, iterations):
    y = lanes(count, T)
    got = fused.asymmetric_least_squares_fused(y.to(DEVICE), lam, p, iterations)
    assert got.dtype == torch.float64 and got.device.type == DEVICE.type
    want = dense_baseline(y.numpy(), lam, p, iterations)
    # rounding 1e-16 times the condition number, about 16 lam / p
    assert_close("baseline", got.cpu().numpy(), want, rtol=0,
                 atol=1e-16 * 16 * lam / min(p, 1 - p) * 10 * np.abs(y.numpy()).max() + 1e-12)


@needs_triton
def test_asymmetric_least_squares_fused_at_the_methods_numbers():
    y = lanes(6, 100).reshape(2, 3, 100).to(torch.float32)
    got = fused.asymmetric_least_squares_fused(y.to(DEVICE)).cpu()
    want = asymmetric_least_squares(y.double(), method="reduction")
    assert got.shape == y.shape
    assert float((got - want).norm() / want.norm()) < 1e-7


@needs_triton
def test_asymmetric_least_squares_fused_some_lanes_at_a_time(monkeypatch):
    from reference.kernels import triton_baseline
    y = lanes(5, 9).to(DEVICE)
    whole = fused.asymmetric_least_squares_fused(y, 1e3, iterations=2)
    for name, value in (("LANES_AT_ONCE", 3), ("MOST", 3 * (9 + 2 * triton_baseline.AHEAD) + 1)):
        parts, solve = [], triton_baseline._least_squares
        with monkeypatch.context() as patch:
            patch.setattr(triton_baseline, name, value)
            patch.setattr(triton_baseline, "_least_squares",
                          lambda part, *rest: (parts.append(len(part)), solve(part, *rest))[1])
            found = fused.asymmetric_least_squares_fused(y, 1e3, iterations=2)
            assert torch.equal(found, whole) and parts == [3, 2]


@needs_triton
def test_asymmetric_least_squares_fused_edges():
    assert fused.asymmetric_least_squares_fused(torch.zeros(0, 7, device=DEVICE)).shape == (0, 7)
    y = lanes(3, 20)
    y[1, 4] = torch.nan
    got = fused.asymmetric_least_squares_fused(y.to(DEVICE)).cpu()
    assert bool(got[1].isnan().all()) and not bool(got[[0, 2]].isnan().any())
    with pytest.raises(TypeError, match="tensor, got ndarray"):
        fused.asymmetric_least_squares_fused(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="T >= 3"):
        fused.asymmetric_least_squares_fused(torch.zeros(2, 2))


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
        "from reference import kernels\n"
        "print(float(fused.clip_loss_chunked(torch.eye(3), torch.eye(3))) > 0)\n"
        "try:\n    fused.clip_loss_fused(torch.eye(3), torch.eye(3))\n"
        "except RuntimeError as error:\n    print(error)")
    assert words.splitlines() == ["True", "the fused kernels need Triton: pip install "
                                  "'ecgcmr-reference[kernels]'"]


@needs_triton
def test_a_cpu_tensor_without_the_interpreter_is_refused():
    words = run_python(
        "import torch\nfrom reference import kernels\n"
        "try:\n    fused.clip_loss_fused(torch.eye(3), torch.eye(3))\n"
        "except ValueError as error:\n    print(error)")
    assert "run on cuda, got a tensor on cpu" in words
