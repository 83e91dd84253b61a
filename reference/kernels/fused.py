"""Fused and memory-saving variants of what is slow or large at scale, each beside its plain form.

    l_ij = z_i . z_j r_i r_j / T,   r = 1 / max(|z|, 1e-12)
    R_i  = log sum_j exp l_ij,      C_j = log sum_i exp l_ij
    loss = mean_i (w R_i + (1 - w) C_i - l_ii)
    d loss / d l_ij = (w exp(l_ij - R_i) + (1 - w) exp(l_ij - C_j) - [i = j]) / B

    plain form                                        variant here
    contrastive_loss.clip_loss, [B, B] logits kept    clip_loss_chunked: a few rows of l at a time,
                                                      recomputed in the backward pass (any device)
                                                      clip_loss_fused: tiles of l in Triton, four
                                                      launches in all
    masked_modelling.MaskedAutoencoder.loss           reconstruction_loss_fused: input and
                                                      prediction read once in each pass, in Triton
    baseline.asymmetric_least_squares                 asymmetric_least_squares_fused: one thread a
                                                      lane, in Triton

Both CLIP variants keep a few B numbers between the passes instead of B^2, so training memory is
linear in B. `clip_loss_auto` chooses by a documented rule. Triton is the optional extra `kernels`;
with TRITON_INTERPRET=1 in the environment it runs on the CPU, for checking.

Glossary: B subjects, D embedding width, T temperature, w weight of the CMR -> ECG direction, l
logits, r inverse lengths, z embeddings (CMR rows, ECG columns); baseline: see baseline.py.
Source: contrastive_loss.py, masked_modelling.py and baseline.py; recomputation after Chen et al.
2016 and Dao et al. 2022.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch
from torch import Tensor

from reference.baseline import check as check_baseline
from reference.contrastive_loss import (
    check_number,
    check_pair,
    clip_loss,
    common_dtype,
    full_precision,
)

LOGITS_AT_ONCE = 2**22  # of the chunked form: 16 MiB in float32, three buffers of it at the peak
LEAST_ROWS = 64  # of the chunked form: products of fewer rows would be slow
PLAIN_BATCH = 4096  # largest batch whose [B, B] logits (64 MiB, about five buffers) are kept
LOWEST_TEMPERATURE = 0.025  # of the fused form: exp(-2 / T) must stay a normal float32


def clip_loss_auto(z_cmr: Tensor, z_ecg: Tensor, temperature: float = 0.1,
                   weight: float = 0.75) -> Tensor:
    """The CLIP loss by whichever form fits: plain up to B = 4,096, chunked above.

    Args, Returns, Raises: as `contrastive_loss.clip_loss`.
    Source: as `contrastive_loss.clip_loss`.
    """
    form = clip_loss if len(z_cmr) <= PLAIN_BATCH else clip_loss_chunked
    return form(z_cmr, z_ecg, temperature, weight)


def clip_loss_chunked(z_cmr: Tensor, z_ecg: Tensor, temperature: float = 0.1,
                      weight: float = 0.75, *, rows: int | None = None) -> Tensor:
    """The CLIP loss without the B x B matrix, in plain torch.

    Args:
        z_cmr, z_ecg: [B, D], row i of both from subject i; any scale.
        temperature: T > 0.
        weight: w in [0, 1] on the CMR -> ECG direction.
        rows: rows of logits held at a time; default so that they are 2^22 numbers, at least 64.
    Returns:
        Scalar, as `contrastive_loss.clip_loss`.
    Raises:
        ValueError, TypeError: as `contrastive_loss.clip_loss`; rows < 1.
    Source: as `contrastive_loss.clip_loss`.
    Differs: logits are computed again in the backward pass (8 B^2 D operations, not 6); there are
        no second derivatives.
    """
    _check_clip(z_cmr, z_ecg, temperature, weight)
    if rows is not None and rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}")
    rows = rows or max(LEAST_ROWS, LOGITS_AT_ONCE // len(z_cmr))
    cmr, ecg = common_dtype(z_cmr, z_ecg)
    with full_precision(cmr.device):
        return _ChunkedCLIP.apply(cmr, ecg, temperature, weight, rows)


def clip_loss_fused(z_cmr: Tensor, z_ecg: Tensor, temperature: float = 0.1, weight: float = 0.75,
                    *, precision: str = "tf32x3") -> Tensor:
    """The CLIP loss without the B x B matrix, in Triton.

    Args:
        z_cmr, z_ecg: [B, D] of one dtype, float32, bfloat16 or float16; B D below 2^31 and B below
            2^23.
        temperature: T >= 0.025: with |l| <= 1 / T no maximum needs to be subtracted.
        weight: w in [0, 1] on the CMR -> ECG direction.
        precision: of float32 products: "tf32x3", three products of two tf32 parts, about as exact
            as float32, or, faster and to about three digits, "tf32".
    Returns:
        Scalar float32, as `contrastive_loss.clip_loss`.
    Raises:
        ValueError, TypeError: as `contrastive_loss.clip_loss`; a temperature, precision or size
            that is not allowed; a device Triton does not run on.
        RuntimeError: Triton is not installed.
    Source: as `contrastive_loss.clip_loss`.
    Differs: products take the embeddings in their own dtype (float16 as tf32, which holds it) with
        float32 sums; rows and columns are summed in one pass, each side has its own in the backward
        pass (10 B^2 D operations; 2 B^2 D more for each further 128 of D), so that equal inputs
        give equal bits.
    """
    _check_clip(z_cmr, z_ecg, temperature, weight)
    if temperature < LOWEST_TEMPERATURE:
        raise ValueError(f"temperature={temperature}; at least {LOWEST_TEMPERATURE} is needed "
                         "here, clip_loss_chunked takes any")
    if precision not in ("tf32x3", "tf32"):
        raise ValueError(f"precision must be 'tf32x3' or 'tf32', got {precision!r}")
    allowed = (torch.float32, torch.bfloat16, torch.float16)
    if z_cmr.dtype != z_ecg.dtype or z_cmr.dtype not in allowed:
        raise TypeError(f"embeddings are {z_cmr.dtype}, {z_ecg.dtype}; one of {allowed} for both "
                        "is needed")
    _triton("clip", z_cmr.device)
    return _FusedCLIP.apply(z_cmr, z_ecg, temperature, weight, precision)


def reconstruction_loss_fused(x: Tensor, prediction: Tensor, ncc_weight: float = 0.1) -> Tensor:
    """Loss of stage 1 over all patches, 0.9 MSE + 0.1 (1 - NCC), in Triton.

    Args:
        x: [B, 1, V, T], input.
        prediction: [B, L, P] with L P = V T: patches of one lead and P samples, in the order
            lead, time, as `MaskedAutoencoder` with one-lead patches predicts them.
        ncc_weight: w in [0, 1].
    Returns:
        Scalar float32; its gradient goes to the prediction.
    Raises:
        ValueError, TypeError: shapes that do not fit, a patch that does not divide a lead, T < 2,
            ncc_weight outside [0, 1], an input that asks for a gradient, dtypes other than
            float32, bfloat16 and float16, a device Triton does not run on.
        RuntimeError: Triton is not installed.
    Source: as `MaskedAutoencoder.loss`.
    Differs: all sums are in float32, also those of a narrow prediction's correlation; for the
        other choices of the loss (removed patches only, normalised patches) take the plain form.
    """
    B, C, V, T = x.shape if x.ndim == 4 else (0, 0, 0, 0)
    L, P = prediction.shape[1:] if prediction.ndim == 3 else (0, 0)
    if C != 1 or T < 2 or P == 0 or T % P or (len(prediction), L * P) != (B, V * T):
        raise ValueError(f"input {list(x.shape)} and prediction {list(prediction.shape)}; "
                         "[B, 1, V, T >= 2] and [B, V T / P, P] with P dividing T are needed")
    check_number("ncc_weight", ncc_weight, 0.0, 1.0)
    allowed = (torch.float32, torch.bfloat16, torch.float16)
    if x.dtype not in allowed or prediction.dtype not in allowed:
        raise TypeError(f"dtypes are {x.dtype}, {prediction.dtype}; {allowed} are allowed")
    if x.requires_grad:
        raise ValueError("the input asks for a gradient; only the prediction has one")
    if x.device != prediction.device:
        raise ValueError(f"input on {x.device}, prediction on {prediction.device}")
    _triton("reconstruction", x.device)
    return _FusedReconstruction.apply(x, prediction, ncc_weight)


def asymmetric_least_squares_fused(signal: Tensor, lam: float = 1e7, p: float = 0.3,
                                   iterations: int = 5) -> Tensor:
    """Baseline of every lane by one thread each, in Triton.

    Args:
        signal: [..., T] tensor, real, T >= 3.
        lam, p, iterations: as `baseline.asymmetric_least_squares`.
    Returns:
        [..., T] float64 on the same device; no gradient.
    Raises:
        ValueError, TypeError: as `baseline.asymmetric_least_squares`; not a tensor; a device
            Triton does not run on.
        RuntimeError: Triton is not installed.
    Source: Eilers & Boelens 2005; the row recurrences of baseline.py.
    Differs: 40 bytes of scratch a sample, of 65,536 lanes at a time; singular lanes are their own
        baseline, as there.
    """
    if not isinstance(signal, Tensor):
        raise TypeError(f"signal must be a tensor, got {type(signal).__name__}")
    check_baseline(signal, lam, p, iterations, "auto")
    kernels = _triton("baseline", signal.device)
    lanes = signal.detach().reshape(-1, signal.shape[-1]).to(torch.float64)  # [lanes, T]
    return kernels.least_squares(lanes, lam, p, iterations).reshape(signal.shape)


class _ChunkedCLIP(torch.autograd.Function):
    """Rows of logits in turn; R, C are kept for the backward pass."""

    @staticmethod
    def forward(ctx, cmr: Tensor, ecg: Tensor, temperature: float, weight: float,
                rows: int) -> Tensor:
        u, v = _unit(cmr), _unit(ecg)  # [B, D]
        B = len(u)
        R, C = u.new_empty(B), u.new_full((B,), -torch.inf)
        for start in range(0, B, rows):
            part = slice(start, start + rows)
            logits = (u[part] @ v.T).div_(temperature)  # [rows, D] @ [D, B] -> [rows, B]
            R[part] = logits.logsumexp(dim=1)
            C = torch.logaddexp(C, logits.logsumexp(dim=0))
        ctx.save_for_backward(cmr, ecg, R, C)
        ctx.numbers = temperature, weight, rows
        own = (u * v).sum(dim=1) / temperature  # [B]
        return (weight * R + (1 - weight) * C - own).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        cmr, ecg, R, C = ctx.saved_tensors
        with full_precision(cmr.device):
            return (*_ChunkedCLIP.gradients(gradient, cmr, ecg, R, C, *ctx.numbers), None, None,
                    None)

    @staticmethod
    def gradients(gradient: Tensor, cmr: Tensor, ecg: Tensor, R: Tensor, C: Tensor,
                  temperature: float, weight: float, rows: int) -> tuple[Tensor, Tensor]:
        """Gradients by both embeddings, [B, D] each; logits are computed again."""
        u, v = _unit(cmr), _unit(ecg)  # [B, D]
        B = len(u)
        du, dv = torch.empty_like(u), torch.zeros_like(v)
        for start in range(0, B, rows):
            part = slice(start, start + rows)
            logits = (u[part] @ v.T).div_(temperature)  # [rows, B]
            G = (logits - R[part, None]).exp_().mul_(weight)
            G.add_(logits.sub_(C).exp_(), alpha=1 - weight)
            G[:, part].diagonal().sub_(1)
            du[part] = G @ v  # [rows, B] @ [B, D] -> [rows, D]
            dv.addmm_(G.T, u[part])  # [B, rows] @ [rows, D] -> [B, D]
        scale = gradient / (B * temperature)
        return _through_unit(cmr, u, du, scale), _through_unit(ecg, v, dv, scale)


class _FusedCLIP(torch.autograd.Function):
    """The same with Triton's kernels, which leave nothing to torch between the launches."""

    @staticmethod
    def forward(ctx, cmr: Tensor, ecg: Tensor, temperature: float, weight: float,
                precision: str) -> Tensor:
        kernels = _triton("clip", cmr.device)
        cmr, ecg = cmr.contiguous(), ecg.contiguous()
        ctx.plan = kernels.plan(cmr, temperature, weight, precision)
        loss, *kept = kernels.loss_and_weights(cmr, ecg, ctx.plan)
        ctx.save_for_backward(cmr, ecg, *kept)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        cmr, ecg, *kept = ctx.saved_tensors
        kernels = _triton("clip", cmr.device)
        return (*kernels.gradients(gradient, cmr, ecg, *kept, ctx.plan), None, None, None)


class _FusedReconstruction(torch.autograd.Function):
    """Leads of all records as rows; four numbers of each are kept for the backward pass."""

    @staticmethod
    def forward(ctx, x: Tensor, prediction: Tensor, weight: float) -> Tensor:
        T = x.shape[-1]
        B, L, P = prediction.shape
        leads, y = x.reshape(-1, T).contiguous(), prediction.reshape(-1, T).contiguous()
        ctx.numbers = weight, 1 / (P * (B * L + 1e-5))
        loss, kept = _triton("reconstruction", x.device).errors(leads, y, *ctx.numbers)
        ctx.save_for_backward(leads, y, kept)
        ctx.shape = prediction.shape
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        leads, y, kept = ctx.saved_tensors
        kernels = _triton("reconstruction", y.device)
        slopes = kernels.slopes(gradient, leads, y, kept, *ctx.numbers)
        return None, slopes.reshape(ctx.shape), None


def _unit(z: Tensor) -> Tensor:
    return z * _inverse_length(z)[:, None].to(z.dtype)


def _inverse_length(z: Tensor) -> Tensor:
    """1 / max(|z|, 1e-12), at least in float32: [B, D] -> [B]."""
    wide = torch.promote_types(z.dtype, torch.float32)
    return 1 / torch.linalg.vector_norm(z, dim=1, dtype=wide).clamp(min=1e-12)


def _through_unit(z: Tensor, unit: Tensor, gradient: Tensor, scale: Tensor) -> Tensor:
    """Gradient by z of a function of unit = z / |z|, in place of the one by unit; none for a row
    without direction."""
    length = torch.linalg.vector_norm(z, dim=1, keepdim=True)  # [B, 1]
    along = (gradient * unit).sum(dim=1, keepdim=True)
    inward = scale / length.clamp(min=1e-12) * (length > 1e-12)
    return gradient.addcmul_(unit, along, value=-1).mul_(inward)


def _check_clip(z_cmr: Tensor, z_ecg: Tensor, temperature: float, weight: float) -> None:
    check_pair(z_cmr=z_cmr, z_ecg=z_ecg)
    check_number("weight", weight, 0.0, 1.0)
    check_number("temperature", temperature, 0.0, float("inf"))
    if temperature == 0:
        raise ValueError(f"temperature={temperature}; a positive finite number is needed")


def _triton(name: str, device: torch.device) -> ModuleType:
    """The kernels of that name (triton_NAME.py), imported when they are needed."""
    try:
        kernels = importlib.import_module(f"reference.kernels.triton_{name}")
    except ImportError as error:
        raise RuntimeError("the fused kernels need Triton: pip install 'ecgcmr-reference[kernels]'"
                           ) from error
    if device.type != "cuda" and not kernels.INTERPRETED:
        raise ValueError(f"the fused kernels run on cuda, got a tensor on {device}; with "
                         "TRITON_INTERPRET=1 set before Python starts they run on the CPU")
    return kernels
