"""Interventions on the synthetic heart: what moves when one thing is changed and nothing else.

    (i)   ecg_seed replaced: image, masks, phenotypes, labels, other latents keep every bit
    (ii)  cmr_seed replaced: ECG, phenotypes, labels and other latents keep theirs
    (iii) do(x): finite differences of each mechanism with common random numbers;
          outputs that move = outputs that `graph` declares, in the declared direction
    at coupling 0: do(x) leaves the ECG bit-identical for every x but the demographics

Each mechanism (physiology -> targets, targets -> heart -> image and phenotypes, physiology -> ECG)
is tested with all its inputs held but one, so that the edges compose into the whole graph.

Glossary: context, a kind of person at whom the difference is taken, so that gated edges open;
undeclared, pairs (x, output) that moved without an edge; silent, edges that never moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from typing import NamedTuple

import numpy as np

from data_synth import simulation
from data_synth.audit import graph
from data_synth.audit.check import Check
from data_synth.cmr import cine
from data_synth.ecg import electrocardiogram
from data_synth.ecg.features import PRIVATE_SD, SWITCHES, Features, couple, features
from data_synth.heart import geometry, physiology
from data_synth.heart.phenotypes import phenotypes, realised
from data_synth.latents import LATENT_INFO
from data_synth.streams import generator


@dataclass(frozen=True)
class Model:
    """The generator under audit; any part can be replaced to see whether the audit notices."""

    simulate: Callable = simulation.simulate
    ecg: Callable = electrocardiogram.render
    heart: Callable = geometry.realise
    cine: Callable = cine.render


class Mechanism(NamedTuple):
    """A part of the generator: person -> output -> (values, one signed number)."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable
    given: bool = False  # whether each output is taken with the others held


class Moves(NamedTuple):
    """What finite differences found."""

    undeclared: set[tuple[str, str]]
    silent: set[tuple[str, str]]
    wrong_sign: set[tuple[str, str]]
    tested: int


STEPS = {  # latent: change; all others are switched 0 -> 1
    "age": 6.0, "height": 5.0, "bmi": 3.0, "sbp": 12.0, "heart_rate": 8.0, "size_u": .7,
    "concentricity_c": .7, "contractility_e": .7, "scar_size": 6.0, "scar_transmurality": .15,
    "lvedv_target": 20.0, "lvm_target": 15.0, "ef_target": 4.0,
    "longitudinal_strain": .02, "rv_sv_ratio": .05, "rv_ef_target": 4.0, "lvedv": 20.0,
    "lvesv": 10.0, "lvm": 15.0, "lvef": 3.0, "rvedv": 20.0, "rvesv": 10.0, "rvef": 4.0,
    "wt_global": .7, "weight": 5.0, "bsa": .1}
_INFARCT = {"cad": 1.0, "mi": 1.0, "scar_size": 16.0, "scar_transmurality": .8,
            "scar_territory": 1.0}
CONTEXTS: tuple[dict[str, float], ...] = (
    {}, {**_INFARCT, "lvef": 43.0}, {"lvm": 190.0, "lvef": 48.0, "lbbb": 1.0})
_LARGEST = {"scar_transmurality": 1.0}
TOLERANCE = 1e-9  # relative; x + 1 (y - x) rounds
BRIGHTNESS = .03  # of the log intensity; noise and coil differ from place to place
_FAR = np.ones((210, 210), bool)  # pixels that no heart reaches
_FAR[:170, 15:200] = False


def seeds(model: Model, subjects: list[int], seed: int) -> list[Check]:
    """(i) and (ii): how many arrays change that should not when one modality is drawn anew.

    Args:
        model: the generator; subjects: a few subject numbers; seed: the cohort's seed.
    Returns:
        Two checks, the number of subjects with a changed bit; 0 wanted. A modality that does not
        change under its own seed counts too.
    """
    checks = []
    private = {kind: {row.name for row in LATENT_INFO if row.kind == kind}
               for kind in ("ecg", "cmr")}
    plain = model.simulate(subjects, seed)
    for name, own, seed_name in (("(i) do(ECG nuisance)", "ecg", "ecg_seed"),
                                 ("(ii) do(image nuisance)", "cmr", "cmr_seed")):
        other = model.simulate(subjects, seed, **{seed_name: seed + 1})
        kept = [n for n in ("ecg", "cmr", "phenotypes", "labels") if n != own]
        kept += ["segmentation"] if own == "ecg" else []
        bad = sum(any(getattr(plain, n)[k].tobytes() != getattr(other, n)[k].tobytes()
                      for n in kept) or any(plain.latents[n][k] != other.latents[n][k]
                                            for n in plain.latents if n not in private[own])
                  or np.array_equal(getattr(plain, own)[k], getattr(other, own)[k])
                  for k in range(len(subjects)))
        checks.append(Check(f"{name} leaves the rest bit-identical", float(bad),
                            f"0 of {len(subjects)} subjects", bad == 0))
    return checks


def mechanisms(model: Model, subjects: list[int], seed: int) -> list[Check]:
    """(iii): zero pattern and signs of every mechanism, and no edge to the ECG at coupling 0.

    Args:
        model: the generator; subjects: a few subject numbers; seed: the cohort's seed.
    Returns:
        Checks; each number counts (latent, output) pairs at fault, 0 wanted.
    """
    checks = []
    for mechanism in _mechanisms(model):
        moves = differences(mechanism, subjects, seed)
        for kind in ("undeclared", "silent", "wrong_sign"):
            pairs = sorted(getattr(moves, kind))
            detail = ", ".join(f"{cause}->{effect}" for cause, effect in pairs[:6])
            checks.append(Check(f"(iii) {mechanism.name}: {kind.replace('_', ' ')}",
                                float(len(pairs)), f"0 of {moves.tested}", not pairs, detail))
    return [*checks, _private_edges(), _silence_at_zero(model, subjects, seed),
            _brightness(model, subjects, seed)]


def differences(mechanism: Mechanism, subjects: list[int], seed: int) -> Moves:
    """Change every input alone, in every subject and context, and compare with the graph.

    Args:
        mechanism: what to run; subjects: subject numbers; seed: the cohort's seed.
    Returns:
        Pairs that moved undeclared, declared edges that never moved, and wrong directions.
    """
    allowed = {latent: _reach(latent, mechanism.outputs, mechanism.given)
               for latent in mechanism.inputs}
    direct = {(e.cause, e.effect): e.sign for e in graph.EDGES
              if e.cause in mechanism.inputs and e.effect in mechanism.outputs}
    moved, wrong = set(), set()
    for subject, person, latent in _interventions(mechanism.inputs, subjects, seed):
        low, high = _change(person, latent)
        before, after = (mechanism.run(p, subject, seed) for p in (low, high))
        for output in mechanism.outputs:
            pair = (latent, output)
            rise = (after[output][1] - before[output][1]) * np.sign(high[latent] - low[latent])
            moved |= {pair} if _moved(before[output][0], after[output][0]) else set()
            scale = 1e-6 * max(abs(before[output][1]), 1e-6)
            wrong |= {pair} if direct.get(pair, 0) * rise < -scale else set()
    undeclared = {(cause, effect) for cause, effect in moved if effect not in allowed[cause]}
    return Moves(undeclared, set(direct) - moved, wrong,
                 len(mechanism.inputs) * len(mechanism.outputs))


def _mechanisms(model: Model) -> tuple[Mechanism, ...]:
    """The mechanisms of one model, each a function of the whole person."""
    def heart(person: dict, subject: int, seed: int) -> dict:
        return _heart(model, person, subject, seed)

    def trace(person: dict, subject: int, seed: int) -> dict:
        ecg = model.ecg(person, generator(seed, subject, "ecg"), 1.0, 1.0)
        return {"ecg:recording": (ecg, float(ecg.std()))}

    shown = ("male", "age", "height", "weight", "bmi", "bsa", "sbp", "dm", "cad", "mi", "af",
             "af_now", "dcm", "scar_size", "scar_territory", "scar_transmurality", "heart_rate",
             "size_u", "concentricity_c", "contractility_e", "lvedv_target", "lvm_target",
             "ef_target", "longitudinal_strain", "rv_sv_ratio", "rv_ef_target", "lbbb", "rbbb",
             "lvedv", "lvesv", "lvef", "lvm", "rvedv", "rvesv", "rvef", "wt_global")
    body = shown[:28]
    return (Mechanism("physiology -> targets", body[:20],
                      ("lvedv_target", "lvm_target", "ef_target"), _targets, given=True),
            Mechanism("targets -> heart, image, phenotypes", body,
                      (*graph.HEART, *graph.IMAGE, *graph.PHENOTYPE), heart),
            Mechanism("physiology -> ECG features", shown, graph.ECG[:-1], _features),
            Mechanism("physiology -> rendered ECG", shown, ("ecg:recording",), trace))


def _interventions(latents, subjects: list[int], seed: int):
    """(subject, person, latent) over all subjects, contexts and latents."""
    for subject in subjects:
        own = _person(subject, seed)
        for context in CONTEXTS:
            yield from ((subject, {**own, **context}, latent) for latent in latents)


def _reach(latent: str, outputs: tuple[str, ...], given: bool) -> set[str]:
    """Outputs of one mechanism reachable without leaving it; the trace shows every feature."""
    reached: set[str] = set()
    if outputs == ("ecg:recording",):
        return set(outputs) if graph.children(latent) & set(graph.ECG) else reached
    waiting = [latent]
    while waiting:
        new = graph.children(waiting.pop()) & set(outputs) - reached
        reached |= new
        waiting.extend(() if given else new)
    return reached


def _person(subject: int, seed: int) -> dict[str, float]:
    """Physiology with the realised volumes of the subject's own heart."""
    person = physiology.sample(subject, seed)
    heart = geometry.realise(person, generator(seed, subject, "anatomy"))
    return {**person, **realised(phenotypes(heart, person))}


def _change(person: dict[str, float], latent: str) -> tuple[dict, dict]:
    """The person before and after the intervention."""
    if latent == "scar_territory":
        return person, {**person, latent: 1.0 + person[latent] % 3}
    if latent in STEPS:
        changed = person[latent] + STEPS[latent]
        return person, {**person, latent: min(changed, _LARGEST.get(latent, changed))}
    return {**person, latent: 0.0}, {**person, latent: 1.0}


def _moved(before: np.ndarray, after: np.ndarray) -> bool:
    scale = max(float(np.abs(before).max(initial=0.0)), 1e-12)
    wide = np.asarray(after, np.float64) - before
    limit = TOLERANCE if np.asarray(before).dtype == np.float64 else 2e-6
    return bool(np.abs(wide).max(initial=0.0) > limit * scale)


def _targets(person: dict, subject: int, seed: int) -> dict:
    """Targets of the heart; the mass is taken relative to the volume that it depends on."""
    target = physiology.heart_targets(person)
    target["lvm_target"] /= target["lvedv_target"]
    return {name: (np.array([value]), value) for name, value in target.items()}


def _heart(model: Model, person: dict, subject: int, seed: int) -> dict:
    """Fields of the heart, pixels of the image, phenotypes."""
    heart = model.heart(person, generator(seed, subject, "anatomy"))
    image, mask = model.cine(heart, generator(seed, subject, "cmr"))
    value = phenotypes(heart, person)  # [61]
    wall = heart.epi[0] - heart.endo[0]
    motion = heart.shortening * heart.contraction
    result = {
        "heart:cavity": (heart.endo[0], float(heart.radius)), "heart:wall": (wall, wall.mean()),
        "heart:motion": (motion, motion.mean()),
        "heart:right": (np.r_[heart.rv_volumes, heart.rv_ellipse.ravel()], heart.rv_volumes[0]),
        "image:mask": (mask.astype(float), 0.0), "image:heart": (image * (mask > 0), 0.0),
        "image:chest": (image[:, _FAR], 0.0)}
    rows = {"LV": slice(0, 4), "LVCO": slice(4, 5), "LVM": slice(5, 6), "RV": slice(6, 10),
            "WT": slice(10, 27), "Ecc": slice(27, 44), "Err": slice(44, 61)}
    result.update({f"phenotype:{name}": (value[row], value[row][-1]) for name, row in rows.items()})
    return result


def _features(person: dict, subject: int, seed: int) -> dict:
    """Features of the ECG at full coupling, with the subject's own private numbers."""
    private = electrocardiogram.draw_private(generator(seed, subject, "ecg"))
    shown = couple(person, dict.fromkeys(SWITCHES, 0.0), private.rate, 1.0)
    values = zip((field.name for field in fields(Features)),
                 astuple(features(shown, private.normal, 1.0)), strict=True)
    return {f"ecg:{name}": (np.array([float(value)]), float(value)) for name, value in values}


def _private_edges() -> Check:
    """Every private number of `PRIVATE_SD` moves the features that the graph names, only them."""
    names = [field.name for field in fields(Features)]
    bad = []
    person = {**_person(0, 0), **_INFARCT, "lvm": 190.0, "lvef": 43.0, "lbbb": 1.0}
    shown = couple(person, dict.fromkeys(SWITCHES, 0.0), 0.0, 1.0)
    zero = dict.fromkeys(PRIVATE_SD, 0.0)
    still = astuple(features(shown, zero, 1.0))
    for private in PRIVATE_SD:
        now = astuple(features(shown, {**zero, private: .5}, 1.0))
        moved = {f"ecg:{name}" for name, a, b in zip(names, still, now, strict=True) if a != b}
        bad += [private] if moved != graph.may_move(private) else []
    return Check("(iii) private latents -> ECG features", float(len(bad)),
                 f"0 of {len(PRIVATE_SD)}", not bad, ", ".join(bad))


def _silence_at_zero(model: Model, subjects: list[int], seed: int) -> Check:
    """At coupling 0 only demographics may change a bit of the ECG."""
    bad = set()
    latents = [name for name in _person(0, seed) if name not in graph.DEMOGRAPHICS]
    for subject, person, latent in _interventions(latents, subjects, seed):
        low, high = (model.ecg(p, generator(seed, subject, "ecg"), 0.0, 1.0)
                     for p in _change(person, latent))
        bad |= set() if np.array_equal(low, high) else {latent}
    return Check("(iii) do(x) at coupling 0 leaves the ECG bit-identical", float(len(bad)),
                 "0 latents", not bad, ", ".join(sorted(bad)))


def _brightness(model: Model, subjects: list[int], seed: int) -> Check:
    """No latent may change the brightness of the blood in the middle of the LV cavity."""
    worst, cause = 0.0, ""
    for subject, person, latent in _interventions(geometry.LATENTS, subjects, seed):
        change = np.log([_blood(model, p, subject, seed) for p in _change(person, latent)])
        if abs(change[1] - change[0]) > worst:
            worst, cause = float(abs(change[1] - change[0])), latent
    return Check("(iii) do(x) leaves the brightness of blood", worst, f"<= {BRIGHTNESS} log",
                 worst <= BRIGHTNESS, cause)


def _blood(model: Model, person: dict, subject: int, seed: int) -> float:
    """Median of the end-diastolic image in a disc of 9 pixels about the LV cavity's centre."""
    heart = model.heart(person, generator(seed, subject, "anatomy"))
    image, mask = model.cine(heart, generator(seed, subject, "cmr"))
    row, column = np.argwhere(mask[0] == cine.LV_BLOOD).mean(0).round().astype(int)
    return float(np.median(image[0, row - 4:row + 5, column - 4:column + 5]))
