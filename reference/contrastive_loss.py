"""Stage 2: the losses that pull the ECG and the CMR of one subject together.

Equations, with x' = x / max(|x|, 1e-12), l_ij = z0'_i . z1'_j / T and
CE(l_i, i) = log sum_j exp l_ij - l_ii:

    CLIP             w mean_i CE(row i of l, i) + (1 - w) mean_i CE(column i of l, i)
    NT-Xent          mean over 2B views of CE(row of l, its partner), itself not a candidate
    soft positives   mean over rows i, both directions, of -sum_j P_ij log softmax_j l_ij / |P_i|
    false negatives  mean over rows i, both directions, of CE(row i of l without {j != i: P_ij}, i)
    Barlow Twins     sum_i (1 - C_ii)^2 + w sum_{i != j} C_ij^2, C = s(z0)^T s(z1) / B
    BYOL             mean_i (2 - 2 p0'_i . t1'_i) + mean_i (2 - 2 p1'_i . t0'_i), t constant

    B  subjects in the batch         z  projected embedding [B, D]; z0, z1 two views
    D  embedding width               l  logits
    T  temperature (paper: tau)      w  weight (paper: lambda), on the CMR -> ECG direction in CLIP
    S  subject similarity [B, B]     P  positives: S_ij > threshold, and the diagonal
    s  standardisation over the batch (biased variance, 1e-5)
    p, t  BYOL's online prediction and target projection

Every loss is a scalar, computed in float32 or in the inputs' dtype if that is wider, with autocast
off. A zero embedding has cosine 0 with everything and receives no gradient.
"""

from __future__ import annotations

import contextlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def clip_loss(z_cmr: Tensor, z_ecg: Tensor, temperature: float = 0.1,
              weight: float = 0.75) -> Tensor:
    """Each CMR has to find its subject's ECG in the batch, and each ECG its CMR.

    Args:
        z_cmr, z_ecg: [B, D], row i of both from subject i; any scale.
        temperature: T > 0.
        weight: w in [0, 1] on the CMR -> ECG direction; the other direction gets 1 - w.
    Returns: scalar; 0 for B = 1, ln B for embeddings that carry nothing.
    Raises: ValueError, TypeError for a shape, dtype or number out of range.
    Source: Turgut et al. 2025, section 3.2, equations of the multimodal loss.
    Differs: weight 0.75 is that of the authors' run commands; their configuration file says 0.5.
    """
    check_pair(z_cmr=z_cmr, z_ecg=z_ecg)
    check_number("weight", weight, 0.0, 1.0)
    logits = cosine_logits(z_cmr, z_ecg, temperature)  # [B, B], row CMR, column ECG
    subject = torch.arange(len(logits), device=logits.device)  # [B]
    cmr_to_ecg = F.cross_entropy(logits, subject)
    ecg_to_cmr = F.cross_entropy(logits.T, subject)
    return weight * cmr_to_ecg + (1 - weight) * ecg_to_cmr


def nt_xent_loss(z0: Tensor, z1: Tensor, temperature: float = 0.1) -> Tensor:
    """SimCLR: each of 2B views has to find its partner among the other 2B - 1.

    Args:
        z0, z1: [B, D], two views of the same subjects; any scale.
        temperature: T > 0.
    Returns: scalar; 0 for B = 1 (one candidate), ln(2B - 1) for parallel embeddings.
    Raises: ValueError, TypeError for a shape, dtype or number out of range.
    Source: Chen et al. 2020, equation 1; image and ECG baselines of Turgut et al. 2025.
    """
    check_pair(z0=z0, z1=z1)
    views = torch.cat([z0, z1])  # [2B, D]
    logits = cosine_logits(views, views, temperature)  # [2B, B + B]
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    partner = torch.arange(len(views), device=views.device).roll(len(z0))  # [2B]
    return F.cross_entropy(logits.masked_fill(itself, -math.inf), partner)


def soft_positive_loss(z_cmr: Tensor, z_ecg: Tensor, similarity: Tensor, threshold: float,
                       temperature: float = 0.1) -> Tensor:
    """Subjects that resemble each other count as positives too (SupCon form).

    Args:
        z_cmr, z_ecg: [B, D], row i of both from subject i; any scale.
        similarity: [B, B], S_ij of subjects i and j; symmetric by meaning, row i serves both
            directions.
        threshold: j is a positive of i where S_ij > threshold; i always is one of itself.
        temperature: T > 0.
    Returns: scalar; with no positive off the diagonal, the CLIP loss at weight 1/2.
    Raises: ValueError, TypeError for a shape, dtype or number out of range.
    Source: Khosla et al. 2020, equation 2; authors' code.
    """
    positive = _positives(z_cmr, z_ecg, similarity, threshold)  # [B, B]
    logits = cosine_logits(z_cmr, z_ecg, temperature)  # [B, B]
    log_p = torch.cat([logits, logits.T]).log_softmax(dim=1)  # [2B, B]
    positive = positive.repeat(2, 1)  # [2B, B]
    return -((positive * log_p).sum(dim=1) / positive.sum(dim=1)).mean()


def false_negative_removal_loss(z_cmr: Tensor, z_ecg: Tensor, similarity: Tensor, threshold: float,
                                temperature: float = 0.1) -> Tensor:
    """Subjects that resemble each other stop being negatives: they leave the denominator.

    Args: as for `soft_positive_loss`; pairs i != j with S_ij > threshold are removed.
    Returns: scalar; 0 if all negatives are removed, the CLIP loss at weight 1/2 if none is.
    Raises: ValueError, TypeError for a shape, dtype or number out of range.
    Source: Huynh et al. 2022; authors' code.
    """
    removed = _positives(z_cmr, z_ecg, similarity, threshold).fill_diagonal_(False)  # [B, B]
    logits = cosine_logits(z_cmr, z_ecg, temperature)  # [B, B]
    both = torch.cat([logits, logits.T])  # [2B, B]
    subject = torch.arange(len(logits), device=logits.device).repeat(2)  # [2B]
    return F.cross_entropy(both.masked_fill(removed.repeat(2, 1), -math.inf), subject)


def barlow_twins_loss(z0: Tensor, z1: Tensor, weight: float = 5e-3) -> Tensor:
    """The cross-correlation of the two views' dimensions has to be the identity.

    Args:
        z0, z1: [B, D], B >= 2, two views of the same subjects.
        weight: on the off-diagonal (redundancy) term, >= 0.
    Returns: scalar.
    Raises: ValueError, TypeError for a shape, dtype or number out of range, and for B = 1, where
        standardisation over the batch has no meaning.
    Source: Zbontar et al. 2021, equation 1; authors' code (standardisation as BatchNorm: biased
        variance, eps 1e-5).
    """
    check_pair(z0=z0, z1=z1)
    check_number("weight", weight, 0.0, math.inf)
    if len(z0) < 2:
        raise ValueError(f"the batch has {len(z0)} subject; Barlow Twins needs at least 2")
    z0, z1 = common_dtype(z0, z1)
    s0, s1 = (F.batch_norm(z, None, None, training=True, eps=1e-5) for z in (z0, z1))  # [B, D]
    with full_precision(z0.device):
        c = s0.T @ s1 / len(z0)  # [D, B] @ [B, D] -> [D, D]
    identity = torch.eye(len(c), dtype=c.dtype, device=c.device)
    weights = torch.full_like(c, weight).fill_diagonal_(1.0)
    return (weights * (c - identity).square()).sum()


def byol_loss(p0: Tensor, t1: Tensor, p1: Tensor, t0: Tensor) -> Tensor:
    """Predict the target network's view of the other augmentation.

    Args:
        p0, p1: [B, D], online predictions of views 0 and 1.
        t1, t0: [B, D], target projections of views 1 and 0; no gradient reaches them.
    Returns: scalar in [0, 8], the sum of both directions.
    Raises: ValueError, TypeError for a shape or dtype out of range.
    Source: Grill et al. 2020, equations 2 and following.
    """
    check_pair(p0=p0, t1=t1, p1=p1, t0=t0)
    p0, t1, p1, t0 = (unit_rows(z) for z in common_dtype(p0, t1.detach(), p1, t0.detach()))
    cosines = (p0 * t1).sum(dim=1) + (p1 * t0).sum(dim=1)  # [B]
    return (4 - 2 * cosines).mean()


def byol_momentum(step: int, total: int, base: float = 0.9996) -> float:
    """Decay tau of the target average: `base` at step 0, rising along a cosine to 1 at `total`.

    Args: step in [0, total]; total >= 1; base in [0, 1].
    Returns: tau = 1 - (1 - base) (1 + cos(pi step / total)) / 2.
    Raises: ValueError for numbers out of range.
    Source: Grill et al. 2020, section 3.2; authors' code (0.9996).
    """
    check_number("base", base, 0.0, 1.0)
    if total < 1 or not 0 <= step <= total:
        raise ValueError(f"step={step} of total={total}; step has to be in [0, total], total >= 1")
    return 1 - (1 - base) * (1 + math.cos(math.pi * step / total)) / 2


@torch.no_grad()
def update_target(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move the target network in place: parameter <- tau parameter + (1 - tau) online parameter.

    Args: two modules with the same parameter names and shapes; tau in [0, 1].
    Raises: ValueError for modules that differ or tau out of range, before anything is changed.
    Source: Grill et al. 2020, equation 1. Buffers (BatchNorm statistics) are left to the target.
    """
    check_number("tau", tau, 0.0, 1.0)
    mine, theirs = dict(target.named_parameters()), dict(online.named_parameters())
    differing = sorted(name for name in mine.keys() | theirs.keys()
                       if name not in mine or name not in theirs
                       or mine[name].shape != theirs[name].shape)
    if differing:
        raise ValueError(f"target and online network differ in {differing[:5]}")
    for name, parameter in mine.items():
        parameter.lerp_(theirs[name].to(parameter), 1 - tau)


def clocs_views(ecg: Tensor) -> tuple[Tensor, Tensor]:
    """CLOCS: the two halves in time of one record are a positive pair for `clip_loss`.

    Args: ecg [..., T], T even.
    Returns: [..., 0:T/2] and [..., T/2:T].
    Raises: ValueError for odd or zero T.
    Source: Kiyasseh et al. 2021 (contrastive multi-segment coding); authors' code.
    """
    samples = ecg.shape[-1] if ecg.ndim else 0
    if samples < 2 or samples % 2:
        raise ValueError(f"the record has {samples} samples; an even number >= 2 is needed")
    return ecg[..., : samples // 2], ecg[..., samples // 2:]


def cosine_logits(z0: Tensor, z1: Tensor, temperature: float = 1.0) -> Tensor:
    """Cosine of every row of z0 with every row of z1, over the temperature.

    Args: z0 [B, D], z1 [K, D] (floating); temperature > 0.
    Returns: [B, K], float32 or the inputs' dtype if wider; also under autocast.
    Raises: ValueError for a temperature that is not a positive finite number.
    Source: Turgut et al. 2025, section 3.2.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature={temperature}; a positive finite number is needed")
    z0, z1 = (unit_rows(z) for z in common_dtype(z0, z1))
    with full_precision(z0.device):
        return z0 @ z1.T / temperature  # [B, D] @ [D, K] -> [B, K]


def unit_rows(z: Tensor) -> Tensor:
    """Divide by the length along the last dimension: x / max(|x|, 1e-12).

    Args: z [..., D].
    Returns: [..., D]; rows of length 1e-12 or less pass no gradient (it would be scaled by 1e12).
    Source: torch.nn.functional.normalize, whose values these are.
    """
    unit = F.normalize(z, dim=-1, eps=1e-12)
    has_direction = torch.linalg.vector_norm(z.detach(), dim=-1, keepdim=True) > 1e-12  # [..., 1]
    return torch.where(has_direction, unit, unit.detach())


def _positives(z_cmr: Tensor, z_ecg: Tensor, similarity: Tensor, threshold: float) -> Tensor:
    """P [B, B] as booleans: S_ij > threshold, and the diagonal."""
    check_pair(z_cmr=z_cmr, z_ecg=z_ecg)
    batch = len(z_cmr)
    if tuple(similarity.shape) != (batch, batch):
        raise ValueError(f"similarity is {tuple(similarity.shape)}; {(batch, batch)} is needed")
    if math.isnan(threshold):
        raise ValueError(f"threshold={threshold}; a number is needed")
    return (similarity > threshold).to(z_cmr.device).fill_diagonal_(True)


def common_dtype(*tensors: Tensor) -> list[Tensor]:
    """All tensors in one dtype: the widest of theirs, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def full_precision(device: torch.device) -> contextlib.AbstractContextManager:
    """Autocast off, where the device knows it: cosines must not be rounded to half."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def check_pair(**tensors: Tensor) -> None:
    """ValueError or TypeError unless all are [B, D] of one shape, floating, on one device."""
    first, *_ = tensors.values()
    for name, z in tensors.items():
        if not isinstance(z, Tensor) or not z.is_floating_point():
            raise TypeError(f"{name} is {getattr(z, 'dtype', type(z).__name__)}; "
                            "a floating torch tensor is needed")
        if z.ndim != 2 or 0 in z.shape or z.shape != first.shape:
            shapes = {key: tuple(value.shape) for key, value in tensors.items()}
            raise ValueError(f"shapes {shapes}; all have to be the same [B, D] with B, D >= 1")
        if z.device != first.device:
            raise ValueError(f"{name} is on {z.device}; the others are on {first.device}")


def check_number(name: str, value: float, low: float, high: float) -> None:
    """ValueError for a number outside [low, high], and for infinity and NaN."""
    if not low <= value <= high or math.isinf(value):
        raise ValueError(f"{name}={value}; a finite number in [{low}, {high}] is needed")
