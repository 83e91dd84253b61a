"""Cases of the losses.

Each maker takes a generator and returns component, configuration, given arrays and results.
"""

from __future__ import annotations

import numpy as np

from reference.conformance.vectors import representable
from tests.oracle import losses, masked_losses
from tests.oracle.drafts import Collection, Draft, normal, uniform

_CASES = Collection(first_seed=1100)
case, build = _CASES.case, _CASES.build


# ---- CLIP ----

def _clip(z_cmr, z_ecg, temperature: float, weight: float) -> Draft:
    return Draft("clip_loss", {"temperature": temperature, "weight": weight},
                 {"in/z_cmr": z_cmr, "in/z_ecg": z_ecg},
                 losses.clip_loss(z_cmr, z_ecg, temperature, weight))


@case
def clip_loss(rng):
    """Default: 0.75 on CMR -> ECG."""
    return _clip(normal(rng, 5, 8), normal(rng, 5, 8), 0.1, 0.75)


@case
def clip_loss_half(rng):
    """Equal weights, another temperature, lengths far from one."""
    return _clip(normal(rng, 6, 4), normal(rng, 6, 4, scale=30.0), 0.5, 0.5)


@case
def clip_loss_one_direction(rng):
    """All weight on CMR -> ECG."""
    return _clip(normal(rng, 3, 7), normal(rng, 3, 7), 0.1, 1.0)


@case
def clip_loss_zero_row(rng):
    """A zero embedding has cosine 0 with everything; one below 1e-12 counts as that long; both
    receive no gradient."""
    z_cmr, z_ecg = normal(rng, 4, 6), normal(rng, 4, 6)
    z_cmr[2], z_ecg[0] = 0.0, [2.0**-41, 0, 0, -(2.0**-42), 0, 0]
    return _clip(z_cmr, z_ecg, 0.2, 0.75)


@case
def clip_loss_one_subject(rng):
    """A batch of one: loss 0 and no gradient."""
    return _clip(normal(rng, 1, 5), normal(rng, 1, 5), 0.1, 0.75)


# ---- the relatives of CLIP ----

@case
def nt_xent_loss(rng):
    """Two views of four subjects."""
    z0, z1 = normal(rng, 4, 7), normal(rng, 4, 7, scale=5.0)
    return Draft("nt_xent_loss", {"temperature": 0.1}, {"in/z0": z0, "in/z1": z1},
                 losses.nt_xent_loss(z0, z1, 0.1))


def _similar(rng, function, B: int, D: int, threshold: float, temperature: float) -> Draft:
    """Similarities are not symmetric, one equals the threshold, one of the diagonal is below."""
    z_cmr, z_ecg = normal(rng, B, D), normal(rng, B, D)
    similarity = uniform(rng, B, B)
    similarity[0, 1], similarity[1, 0], similarity[2, 2] = threshold, 0.9375, 0.125
    return Draft(function.__name__, {"threshold": threshold, "temperature": temperature},
                 {"in/z_cmr": z_cmr, "in/z_ecg": z_ecg, "in/similarity": similarity},
                 function(z_cmr, z_ecg, similarity, threshold, temperature))


@case
def soft_positive_loss(rng):
    """Some positives off the diagonal."""
    return _similar(rng, losses.soft_positive_loss, 5, 6, 0.625, 0.1)


@case
def soft_positive_loss_none(rng):
    """No similarity exceeds the threshold: CLIP at weight 1/2."""
    return _similar(rng, losses.soft_positive_loss, 4, 3, 1.0, 0.5)


@case
def false_negative_removal_loss(rng):
    """Some negatives leave."""
    return _similar(rng, losses.false_negative_removal_loss, 6, 5, 0.625, 0.1)


@case
def false_negative_removal_loss_all(rng):
    """All negatives leave: loss 0."""
    return _similar(rng, losses.false_negative_removal_loss, 3, 4, -1.0, 0.1)


@case
def barlow_twins_loss(rng):
    """The authors' weight; one dimension hardly varies, so that 1e-5 counts."""
    z0, z1 = normal(rng, 6, 4), normal(rng, 6, 4, scale=3.0)
    z0[:, 1] = normal(rng, 6, scale=2.0**-6)
    return Draft("barlow_twins_loss", {"weight": 0.005}, {"in/z0": z0, "in/z1": z1},
                 losses.barlow_twins_loss(z0, z1, 0.005))


@case
def byol_loss(rng):
    """Two predictions, two targets."""
    given = {f"in/{name}": normal(rng, 4, 5, scale=scale)
             for name, scale in (("p0", 1.0), ("t1", 3.0), ("p1", 0.5), ("t0", 1.0))}
    return Draft("byol_loss", {}, given, losses.byol_loss(*given.values()))


# ---- reconstruction ----

@case
def negative_cosine(rng):
    """Gradient by the prediction alone."""
    p, t = normal(rng, 3, 5), normal(rng, 3, 5, scale=4.0)
    return Draft("negative_cosine", {}, {"in/prediction": p, "in/target": t},
                 masked_losses.negative_cosine(p, t))


@case
def cross_correlation(rng):
    """Three pairs of traces: unrelated, opposite, almost the same up to an offset."""
    x, y = normal(rng, 3, 9), normal(rng, 3, 9)
    y[1], y[2] = -2 * x[1], representable(x[2] + 8)
    y[2, 0] = 9.5
    return Draft("cross_correlation", {}, {"in/x": x, "in/y": y},
                 masked_losses.cross_correlation(x, y))


@case
def cross_correlation_constant(rng):
    """A constant trace: correlation 0, divided by 1e-6."""
    x, y = normal(rng, 2, 7), np.full((2, 7), 0.5)
    return Draft("cross_correlation", {}, {"in/x": x, "in/y": y},
                 masked_losses.cross_correlation(x, y))


def _reconstruction(rng, ncc_weight: float, normalise: bool, masked_only: bool) -> Draft:
    B, C, V, T, patch = 2, 1, 3, 20, (1, 5)
    x, prediction = normal(rng, B, C, V, T), normal(rng, B, V * T // 5, 5)
    mask = np.floor(uniform(rng, B, V * T // 5) * 2)
    config = {"patch_size": list(patch), "ncc_weight": ncc_weight, "normalise_patches": normalise,
              "masked_only": masked_only}
    return Draft("reconstruction_loss", config,
                 {"in/x": x, "in/prediction": prediction, "in/mask": mask},
                 masked_losses.reconstruction_loss(x, prediction, mask, patch, ncc_weight,
                                                   normalise, masked_only))


@case
def reconstruction_loss(rng):
    """Default: 0.9 of the squared error of all patches, 0.1 of 1 - NCC."""
    return _reconstruction(rng, 0.1, False, False)


@case
def reconstruction_loss_paper(rng):
    """The paper's wording: squared error of the removed patches alone."""
    return _reconstruction(rng, 0.0, False, True)


@case
def reconstruction_loss_normalised(rng):
    """Patches normalised one by one; another weight of the correlation; removed patches."""
    return _reconstruction(rng, 0.3, True, True)


# ---- phenotypes and labels ----

def _mse(rng, authors_count: bool, observed: np.ndarray) -> Draft:
    prediction, target = normal(rng, *observed.shape), normal(rng, *observed.shape)
    return Draft("masked_mse", {"authors_count": authors_count},
                 {"in/prediction": prediction, "in/target": target, "in/observed": observed},
                 masked_losses.masked_mse(prediction, target, observed, authors_count))


@case
def masked_mse(rng):
    """Missing targets do not count."""
    return _mse(rng, False, uniform(rng, 5, 3) < 0.7)


@case
def masked_mse_authors(rng):
    """Missing targets count as no error."""
    return _mse(rng, True, uniform(rng, 4, 6) < 0.7)


@case
def masked_mse_nothing(rng):
    """Nothing is observed: loss 0."""
    return _mse(rng, False, np.zeros((2, 3), dtype=bool))


def _bce(logits, labels, observed, weight) -> Draft:
    return Draft("masked_bce", {}, {"in/logits": logits, "in/labels": labels,
                                    "in/observed": observed, "in/positive_weight": weight},
                 masked_losses.masked_bce(logits, labels, observed, weight))


@case
def masked_bce(rng):
    """Weighted positives, missing labels, logits large enough to overflow a naive form."""
    logits, observed = normal(rng, 7, 3, scale=3.0), uniform(rng, 7, 3) < 0.8
    logits[0], observed[0] = [100.0, -100.0, 0.0], True
    return _bce(logits, np.floor(uniform(rng, 7, 3) * 2), observed, np.array([2.5, 0.75, 5.0]))


@case
def masked_mse_one(rng):
    """One target is observed."""
    return _mse(rng, False, np.eye(2, 5, 1, dtype=bool) & (np.arange(2) < 1)[:, None])


@case
def masked_bce_one(rng):
    """One label is observed, and it is no positive."""
    observed = np.zeros((4, 2), dtype=bool)
    observed[3, 0] = True
    return _bce(normal(rng, 4, 2), np.zeros((4, 2)), observed, np.array([3.0, 2.0]))
