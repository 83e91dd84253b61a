"""The built-in adapter, metrics: classification, regression, retrieval, probes, maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np

from reference import contrastive_loss, evaluation, localisation, probes
from reference import retrieval as finding
from reference.conformance.builtin.tools import Results, arrays, tensors
from reference.conformance.vectors import Case

Probe = TypeVar("Probe", probes.RidgeProbe, probes.LogisticProbe)


def _by_column(metrics: tuple[Callable, ...], *arguments: np.ndarray, **options: float) -> Results:
    """Every metric, 0 where it is not defined, and where it is defined."""
    found = {}
    for metric in metrics:
        value = metric(*arguments, **options)
        found[f"out/{metric.__name__}"] = np.nan_to_num(value, nan=0.0)
        found[f"out/{metric.__name__}_defined"] = ~np.isnan(value)
    return found


def _observed(given: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The array with NaN where it is not observed."""
    return np.where(given["observed"], given[name], np.nan)


def classification_metrics(case: Case, dtype: str) -> Results:
    """All metrics of labels and scores."""
    given = case.given("in", dtype)
    both = _observed(given, "labels"), given["scores"]
    return {**_by_column((evaluation.auroc, evaluation.average_precision), *both),
            **_by_column((evaluation.f1, evaluation.balanced_accuracy, evaluation.accuracy),
                         *both, threshold=case.config["threshold"])}


def regression_metrics(case: Case, dtype: str) -> Results:
    """All metrics of targets and predictions."""
    given = case.given("in", dtype)
    return _by_column((evaluation.r2, evaluation.pearson, evaluation.mae, evaluation.rmse),
                      _observed(given, "target"), given["prediction"])


def in_batch_accuracy(case: Case, dtype: str) -> Results:
    """Places of the partners and the accuracy at every rank."""
    z = tensors(case, "in", dtype)
    cosines = contrastive_loss.cosine_logits(z["z_query"], z["z_target"])
    above, level = finding.partner_ranks(cosines)
    top = [finding.in_batch_accuracy(**z, k=k) for k in case.config["ranks"]]
    return arrays(mid__above=above, mid__level=level, out__top=np.array(top))


class _Given:
    """Stands where a generator does; its one permutation is given."""

    def __init__(self, order: np.ndarray):
        self.order = order

    def permutation(self, count: int) -> np.ndarray:
        """The order, of the length that is asked for."""
        return self.order[:count]


def retrieval(case: Case, dtype: str) -> Results:
    """Every query among its candidates."""
    given = case.given("in", dtype)
    generator = cast(np.random.Generator, _Given(case.given("noise", dtype)["order"]))
    found = finding.retrieval(given["z_query"], given["z_target"], **case.config,
                              generator=generator)
    return arrays(**{f"out__{name}": value for name, value in found.items()})


def collapse(case: Case, dtype: str) -> Results:
    """Mean cosine and spread."""
    found = finding.collapse(**case.given("in", dtype))
    return arrays(**{f"out__{name}": value for name, value in found.items()})


def on_plateau(case: Case, dtype: str) -> Results:
    """True where the losses carry nothing."""
    return arrays(out__stuck=finding.on_plateau(case.given("in", dtype)["losses"], **case.config))


def _fit(function: Callable[..., Probe], case: Case, dtype: str) -> tuple[Probe, np.ndarray]:
    given = case.given("in", dtype)
    given["y"] = _observed(given, "y")
    del given["observed"]
    return function(**given, **case.config), given["x_val"]


def ridge_probe(case: Case, dtype: str) -> Results:
    """The fitted probe and its predictions of the validation rows."""
    probe, x_val = _fit(probes.ridge_fit, case, dtype)
    return arrays(mid__mean=probe.mean, mid__scale=probe.scale, out__weight=probe.weight,
                  out__bias=probe.bias, out__penalty=probe.penalty,
                  out__prediction=probe.predict(x_val))


def logistic_probe(case: Case, dtype: str) -> Results:
    """The fitted probe, its logits and probabilities of the validation rows."""
    probe, x_val = _fit(probes.logistic_fit, case, dtype)
    return arrays(mid__mean=probe.mean, mid__scale=probe.scale, out__weight=probe.weight,
                  out__bias=probe.bias, out__penalty=probe.penalty,
                  out__logits=probe.logits(x_val), out__prediction=probe.predict(x_val))


def similarity_maps(case: Case, dtype: str) -> Results:
    """All three maps."""
    maps = localisation.similarity_maps(**tensors(case, "in", dtype),
                                        grid=tuple(case.config["grid"]),
                                        temperature=case.config["temperature"])
    return arrays(out__cmr=maps.cmr, out__ecg=maps.ecg, out__pairwise=maps.pairwise)


def attention_map(case: Case, dtype: str) -> Results:
    """Attention to every patch token."""
    attention = tensors(case, "in", dtype)["attention"]
    return arrays(out__map=localisation.attention_map(attention, tuple(case.config["grid"])))


def upsample_cmr(case: Case, dtype: str) -> Results:
    """Cells to pixels."""
    cells = tensors(case, "in", dtype)["cells"]
    return arrays(out__image=localisation.upsample_cmr(cells, tuple(case.config["size"])))


def upsample_ecg(case: Case, dtype: str) -> Results:
    """Steps to samples."""
    steps = tensors(case, "in", dtype)["steps"]
    return arrays(out__trace=localisation.upsample_ecg(steps, case.config["samples"]))


COMPONENTS = {function.__name__: function for function in (
    classification_metrics, regression_metrics, in_batch_accuracy, retrieval, collapse, on_plateau,
    ridge_probe, logistic_probe, similarity_maps, attention_map, upsample_cmr, upsample_ecg)}
