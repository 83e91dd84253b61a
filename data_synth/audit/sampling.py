"""Do the latents that `physiology` draws depend on their declared causes, and on nothing else?

    child ~ linear or logistic in its declared parents:   sign(b_k) declared, |b_k| > 3.3 SE
    score test of every other candidate given the parents: |z| <= 4.5      (about 60 of them)

Glossary: child, a drawn latent; parents, its causes in `graph`; candidate, a latent drawn before
the child that the graph does not name; b, coefficient; z, candidate's coefficient over its SE.
"""

from __future__ import annotations

import numpy as np

from data_synth.audit import graph
from data_synth.audit.check import Check
from data_synth.heart import physiology

SUBJECTS = 40000
Z_SIGN, Z_NONE = 3.3, 4.5
_CANDIDATES = ("male", "age", "height", "bmi", "sbp", "dm", "cad", "dcm", "size_u",
               "concentricity_c", "contractility_e")
_CHILDREN = {  # child: latents that it is studied in, value; None is everyone
    "height": None, "bmi": None, "sbp": None, "dm": None, "cad": None, "mi": ("cad", 1.0),
    "af": None, "af_now": ("af", 1.0), "heart_rate": None, "rbbb": ("lbbb", 0.0),
    "rv_ef_target": None, "dcm": None, "size_u": None, "concentricity_c": None,
    "contractility_e": None, "rv_sv_ratio": None}


def check(seed: int, sample=physiology.sample, subjects: int = SUBJECTS) -> list[Check]:
    """Hold the drawn latents to the graph.

    Args:
        seed: of the cohort; sample: `physiology.sample` or a stand-in; subjects: how many.
    Returns:
        Two checks: declared edges without their sign, and undeclared dependences.
    """
    people = [sample(subject, seed) for subject in range(subjects)]
    latent = {name: np.array([person[name] for person in people]) for name in people[0]}
    weak, extra, edges, tests = [], [], 0, 0
    for child, gate in _CHILDREN.items():
        rows = np.ones(subjects, bool) if gate is None else latent[gate[0]] == gate[1]
        signs = {e.cause: e.sign for e in graph.EDGES if e.effect == child
                 and (gate is None or e.cause != gate[0])}
        others = [name for name in _CANDIDATES if name not in
                  {child, *signs, *graph.descendants(child), *(gate or ())[:1]}]
        z_parents, z_others = _tests(latent, rows, child, (list(signs), others))
        weak += [f"{cause}->{child}" for cause, z in z_parents.items() if signs[cause] * z < Z_SIGN]
        extra += [f"{cause}->{child} (z {z:.1f})" for cause, z in z_others.items()
                  if abs(z) > Z_NONE]
        edges, tests = edges + len(z_parents), tests + len(z_others)
    return [Check("(iii) sampled latents: declared edges not found", float(len(weak)),
                  f"0 of {edges}", not weak, ", ".join(weak)),
            Check("(iii) sampled latents: undeclared dependences", float(len(extra)),
                  f"0 of {tests}", not extra, ", ".join(extra))]


def _tests(latent: dict[str, np.ndarray], rows: np.ndarray, child: str,
           causes: tuple[list[str], list[str]]) -> tuple[dict[str, float], dict[str, float]]:
    """z of every parent, and of every other candidate given the parents, with robust errors."""
    parents, others = causes
    y = latent[child][rows]
    base = _design(latent, rows, parents)
    coefficient, covariance = _fit(base, y)
    z = coefficient / np.sqrt(np.diag(covariance))
    result = {}
    for name in others:
        coefficient, covariance = _fit(np.c_[base, _design(latent, rows, [name])[:, 1:]], y)
        result[name] = float(coefficient[-1] / np.sqrt(covariance[-1, -1]))
    return dict(zip(parents, z[1:].tolist(), strict=True)), result


def _design(latent: dict[str, np.ndarray], rows: np.ndarray, names: list[str]) -> np.ndarray:
    """[n, 1 + names]: a constant and standardised columns."""
    columns = [np.ones(int(rows.sum()))]
    for name in names:
        value = latent[name][rows]
        columns.append((value - value.mean()) / max(float(value.std()), 1e-12))
    return np.stack(columns, axis=1)


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and robust covariance; logistic where y is 0 or 1, else linear."""
    binary = bool(np.isin(y, (0.0, 1.0)).all())
    b = np.zeros(x.shape[1])
    for _ in range(12 if binary else 1):
        mean = 1 / (1 + np.exp(-np.clip(x @ b, -30, 30))) if binary else x @ b
        weight = mean * (1 - mean) + 1e-12 if binary else np.ones(len(y))
        inverse = np.linalg.inv((x * weight[:, None]).T @ x)
        b = b + inverse @ (x.T @ (y - mean))
    error = y - (1 / (1 + np.exp(-np.clip(x @ b, -30, 30))) if binary else x @ b)
    middle = (x * (error**2)[:, None]).T @ x
    return b, inverse @ middle @ inverse
