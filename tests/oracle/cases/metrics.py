"""Cases of metrics, retrieval, probes and maps.

Each maker takes a generator and returns component, configuration, given arrays and results.
"""

from __future__ import annotations

import numpy as np

from reference.conformance.vectors import representable
from tests.oracle import maps, metrics, probes
from tests.oracle.drafts import Collection, Draft, normal, uniform

_CASES = Collection(first_seed=1300)
case, build = _CASES.case, _CASES.build


# ---- metrics ----

@case
def classification_metrics(rng):
    """Columns: ties and missing rows; all positive; nothing observed; all negative and none
    called; no ties; reversed."""
    N, C, threshold = 13, 6, 0.5
    scores = np.floor(uniform(rng, N, C) * 8) / 8
    labels = np.floor(uniform(rng, N, C) * 2)
    labels[:2, 0] = 0.0, 1.0
    labels[:, 1], labels[:, 3], scores[:, 3] = 1.0, 0.0, scores[:, 3] / 2
    scores[:, 4] = uniform(rng, N)
    labels[:, 5] = 1.0 - (scores[:, 5] > threshold)
    observed = uniform(rng, N, C) < 0.8
    observed[:2, 0], observed[:, 2] = True, False
    results = metrics.by_column(
        (metrics.auroc, metrics.average_precision, metrics.f1, metrics.balanced_accuracy,
         metrics.accuracy), labels, scores, observed, threshold)
    return Draft("classification_metrics", {"threshold": threshold},
                 {"in/labels": labels, "in/scores": scores, "in/observed": observed}, results)


@case
def regression_metrics(rng):
    """Columns: good with missing rows; constant target; constant prediction; one row; none; bad."""
    N, C = 11, 6
    target = normal(rng, N, C, scale=3.0)
    prediction = representable(target + normal(rng, N, C))
    target[:, 1], prediction[:, 2], prediction[:, 5] = 2.5, -0.5, -2 * target[:, 5]
    observed = uniform(rng, N, C) < 0.8
    observed[:, 3:5] = False
    observed[4, 3] = True
    results = metrics.by_column((metrics.r2, metrics.pearson, metrics.mae, metrics.rmse),
                                target, prediction, observed)
    return Draft("regression_metrics", {},
                 {"in/target": target, "in/prediction": prediction, "in/observed": observed},
                 results)


# ---- retrieval and collapse ----

def embeddings(rng, B: int, D: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Related pairs; targets 1 and 2 are the same, so that they tie."""
    z_query = normal(rng, B, D)
    z_target = representable(z_query + noise * normal(rng, B, D))
    z_target[2] = z_target[1]
    return z_query, z_target


@case
def in_batch_accuracy(rng):
    """Places of the partners; k = 1, 2 and more than the batch."""
    z_query, z_target = embeddings(rng, 7, 3)
    return Draft("in_batch_accuracy", {"ranks": [1, 2, 9]},
                 {"in/z_query": z_query, "in/z_target": z_target},
                 metrics.in_batch_accuracy(z_query, z_target, [1, 2, 9]),
                 {"out/top": {"float64": 1e-7}})  # a share of counts, float32 by contract


def _retrieval(rng, N: int, D: int, candidates: int) -> Draft:
    z_query, z_target = embeddings(rng, N, D, noise=3.0)
    order = rng.permutation(N)
    return Draft("retrieval", {"candidates": candidates},
                 {"in/z_query": z_query, "in/z_target": z_target, "noise/order": order},
                 metrics.retrieval(z_query, z_target, order, candidates))


@case
def retrieval(rng):
    """Two sets of eight and a last one of three, filled up."""
    return _retrieval(rng, 19, 3, 8)


@case
def retrieval_few(rng):
    """Fewer rows than candidates."""
    return _retrieval(rng, 6, 2, 256)


@case
def collapse(rng):
    """Half-collapsed embeddings, and one below 1e-12, which counts as that long."""
    z = representable(normal(rng, 6, 5) + 1)
    z[3] = [2.0**-41, 0, 0, -(2.0**-42), 0]
    return Draft("collapse", {}, {"in/z": z}, metrics.collapse(z))


@case
def on_plateau(rng):
    """Losses about ln 16."""
    losses = representable(np.log(16) + 0.01 * rng.standard_normal(9))
    return Draft("on_plateau", {"batch": 16, "tolerance": 0.01}, {"in/losses": losses},
                 {"out/stuck": metrics.on_plateau(losses, 16, 0.01)})


@case
def on_plateau_left(rng):
    """Losses that fell by 0.1."""
    losses = representable(np.log(8) - 0.1 + 0.01 * rng.standard_normal(4))
    return Draft("on_plateau", {"batch": 8, "tolerance": 0.05}, {"in/losses": losses},
                 {"out/stuck": metrics.on_plateau(losses, 8, 0.05)})


# ---- probes ----

def _features(rng, N: int, M: int, D: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training and validation features, one of them constant, and weights of the truth."""
    x, x_val = normal(rng, N, D, scale=2.0), normal(rng, M, D, scale=2.0)
    x[:, 1] = x_val[:, 1] = 0.5
    return x, x_val, rng.standard_normal(D)


@case
def ridge_probe(rng):
    """Targets of different noise; missing rows; a constant validation target."""
    N, M, D, C, penalties = 12, 7, 4, 3, [0.1, 1.0, 10.0, 100.0]
    x, x_val, truth = _features(rng, N, M, D)
    noise = np.array([0.1, 20.0, 1.0])
    y = representable((x @ truth)[:, None] + noise * rng.standard_normal((N, C)) + 5)
    y_val = representable((x_val @ truth)[:, None] + noise * rng.standard_normal((M, C)) + 5)
    y_val[:, 2] = 1.5
    observed = uniform(rng, N, C) < 0.8
    given = {"in/x": x, "in/y": y, "in/observed": observed, "in/x_val": x_val, "in/y_val": y_val}
    return Draft("ridge_probe", {"penalties": penalties}, given,
                 probes.ridge(x, y, observed, x_val, y_val, penalties))


def _logistic(rng, N: int, M: int, D: int, penalties: list[float]) -> Draft:
    x, x_val, truth = _features(rng, N, M, D)
    y = (x @ truth + 2 * rng.standard_normal(N) > 0).astype(float)
    y_val = (x_val @ truth + 2 * rng.standard_normal(M) > 0).astype(float)
    observed = uniform(rng, N) < 0.9
    given = {"in/x": x, "in/y": y, "in/observed": observed, "in/x_val": x_val, "in/y_val": y_val}
    return Draft("logistic_probe", {"penalties": penalties}, given,
                 probes.logistic(x, y, observed, x_val, y_val, penalties))


@case
def logistic_probe(rng):
    """A noisy label with missing rows."""
    return _logistic(rng, 14, 9, 3, [0.5, 5.0, 50.0])


@case
def logistic_probe_wide(rng):
    """More features than rows."""
    return _logistic(rng, 8, 5, 11, [2.0, 20.0])


# ---- maps ----

@case
def similarity_maps(rng):
    """3 x 6 tokens, 4 x 5 cells."""
    B, D, h, w, grid = 2, 7, 4, 5, (3, 6)
    given = {"z_cmr": normal(rng, B, D), "z_ecg": normal(rng, B, D, scale=3.0),
             "cmr_cells": normal(rng, B, h, w, D), "ecg_tokens": normal(rng, B, 18, D, scale=0.5)}
    given["cmr_cells"][1, 2, 3] = 0.0
    return Draft("similarity_maps", {"grid": list(grid), "temperature": 0.6},
                 {f"in/{name}": value for name, value in given.items()},
                 maps.similarity_maps(**given, grid=grid, temperature=0.6))


def _attention(rng, N: int) -> Draft:
    attention = uniform(rng, 5, 4, N, N)
    return Draft("attention_map", {"grid": [2, 3]}, {"in/attention": attention},
                 {"out/map": maps.attention_map(attention, (2, 3))})


@case
def attention_map(rng):
    """A class token in front."""
    return _attention(rng, 7)


@case
def attention_map_patches(rng):
    """Patch tokens alone."""
    return _attention(rng, 6)


@case
def upsample_cmr(rng):
    """Larger in one axis, smaller in the other."""
    cells = normal(rng, 2, 3, 6)
    return Draft("upsample_cmr", {"size": [7, 4]}, {"in/cells": cells},
                 {"out/image": maps.upsample_cmr(cells, (7, 4))})


@case
def upsample_ecg(rng):
    """Steps to samples."""
    steps = normal(rng, 2, 3, 4)
    return Draft("upsample_ecg", {"samples": 11}, {"in/steps": steps},
                 {"out/trace": maps.upsample_ecg(steps, 11)})


@case
def retrieval_collapsed(rng):
    """Embeddings of one direction and many lengths: every candidate is level with the partner."""
    N, D = 11, 4
    direction, lengths = normal(rng, D), 2.0 ** np.floor(6 * uniform(rng, 2, N, 1))
    z_query, z_target = lengths * direction  # exact, so that no rounding breaks a tie
    order = rng.permutation(N)
    return Draft("retrieval", {"candidates": 6},
                 {"in/z_query": z_query, "in/z_target": z_target, "noise/order": order},
                 metrics.retrieval(z_query, z_target, order, 6))
