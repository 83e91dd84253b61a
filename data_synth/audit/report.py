"""Audit of the synthetic heart: is physiology the only thing that ECG and image share?

    (i), (ii), (iii)  interventions, see `interventions`; arrows into sampled latents, see
                      `sampling`
    (iv)   r_x = x - E[x | shared],  r_y = y - E[y | shared]:  r_x and r_y independent
    (v)    pairs permuted within strata: InfoNCE = log N, retrieval at chance
    (vi)   r(ECG, target | demographics) = 0 at coupling 0 and does not fall as coupling grows
    (vii)  retrieval against negatives of the same sex, BSA, age and heart rate, beside the plain
    and:   new nuisances leave retrieval unchanged; shared nuisance seeds without shared physiology
           give none; border pixels, offsets, array statistics and file order predict nothing

Every number is printed with its bound. Statistical bounds are 3.3 standard errors, or that no
permutation reaches the statistic; among the 30 or so of them a false alarm is rare, not impossible.

Glossary: x ECG measurements; y image measurements; shared, all latents and the true anatomy;
target, a phenotype or a diagnosis; coupling, see `simulation.simulate`; SE, standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple

import numpy as np

from data_synth.audit import estimators as estimate
from data_synth.audit import graph, interventions, sampling
from data_synth.audit.check import Check
from data_synth.audit.interventions import Model
from data_synth.audit.measures import Measured, measure
from data_synth.command import Parser, write_results
from data_synth.ecg.features import PRIVATE_SD, SWITCHES, couple, features
from data_synth.heart.phenotypes import COLUMN
from data_synth.heart.physiology import DEMOGRAPHICS
from data_synth.selection import enriched_subjects
from data_synth.simulation import VERSION
from data_synth.streams import check_seed
from reference.atomic import write_json
from reference.cohort import LABELS

COUPLINGS = (0.0, 0.25, 0.5, 1.0)
TARGETS = ("LVEDV", "LVM", "LVEF", "RVEDV", "WT_Global", "Ecc_Global")
SE = 3.3  # standard errors that a bound allows; two-sided p = .001
SHARE = 0.2  # of each diagnosis among the subjects of the dose curve
SMALLEST = 120  # subjects
_SMALLEST_R2 = 0.005


def run(subjects: int, seed: int, model: Model | None = None) -> list[Check]:
    """The whole audit.

    Args:
        subjects: N, at least 120; seed: the cohort's seed; model: by default the generator.
    Returns:
        All checks, in the order of the head of this file.
    Raises:
        ValueError: N is too small, or the seed out of range.
    """
    if subjects < SMALLEST:
        raise ValueError(f"subjects={subjects}, but should be at least {SMALLEST}")
    check_seed("seed", seed)
    model = Model() if model is None else model
    numbers = list(range(subjects))
    rng = np.random.default_rng(seed)
    plain = measure(model.simulate, numbers, seed)
    uncoupled = measure(model.simulate, numbers, seed, coupling=0.0)
    checks = interventions.seeds(model, numbers[:8], seed)
    checks += interventions.mechanisms(model, numbers[:2], seed)
    checks += sampling.check(seed)
    checks += conditional_independence(plain, rng)
    checks += permuted_pairs(plain, rng)
    checks += dose(dose_cohorts(model, subjects, seed), rng)
    checks += matched_retrieval(plain, uncoupled)
    checks += nuisance_retrieval(model, plain, seed)
    return checks + arrays(plain, uncoupled, rng)


def conditional_independence(m: Measured, rng: np.random.Generator) -> list[Check]:
    """(iv): given all shared latents, ECG and image measurements are independent.

    Args:
        m: measured at coupling 1; rng: of the permutations.
    Returns:
        Four checks: mean and largest squared correlation, HSIC, held-out canonical correlation.
    """
    x = estimate.residual(np.c_[m.ecg, m.ecg_margin], causes_of_ecg(m), penalty=3.0)
    y = estimate.residual(np.c_[m.image, m.image_margin[:, -12:]], causes_of_image(m), penalty=3.0)
    size = estimate.standardise(_latent(m, ("male", "bmi", "lvedv", "lvm", "lvef", "scar_size",
                                            "af_now", "heart_rate", "lbbb", "rbbb")))
    x, y = estimate.even_spread(x, size), estimate.even_spread(y, size)
    checks = []
    for name, test in (("mean R2", estimate.total_correlation),
                       ("largest R2", estimate.largest_correlation), ("HSIC", estimate.hsic)):
        number, p = test(x, y, rng)
        checks.append(_by_permutation(f"(iv) given shared latents: {name}", number, p))
    pairs = estimate.cca(x, y, count=1)
    r, bound = estimate.correlation(pairs.u[:, 0], pairs.v[:, 0]), SE / np.sqrt(len(pairs.u))
    return [*checks, Check("(iv) given shared latents: held-out canonical r", r,
                           f"<= {bound:.3f}", r <= bound)]


def permuted_pairs(m: Measured, rng: np.random.Generator) -> list[Check]:
    """(v): images permuted within strata of sex, BSA, age and rate; what is left must be chance.

    Args:
        m: measured at coupling 1; rng: of the permutation.
    Returns:
        Loss and retrieval of the permuted pairs, and the loss of the true ones as a control.
    """
    basis = estimate.quadratic(_latent(m, (*DEMOGRAPHICS, "heart_rate")))
    x, y = estimate.residual(m.ecg, basis), estimate.residual(m.image, basis)
    rows = _within_strata(m, rng)
    broken = estimate.scores(estimate.cca(x, y[rows]))
    loss, se = estimate.infonce(broken)
    right, right_se, _ = estimate.pairwise(broken)
    limit = max(SE * se, .01)
    kept, kept_se = estimate.infonce(estimate.scores(estimate.cca(m.ecg, m.image)))
    return [Check("(v) permuted pairs: InfoNCE - log N", loss, f"0 +- {limit:.3f}",
                  abs(loss) <= limit),
            Check("(v) permuted pairs: own image above another", right,
                  f".5 +- {SE * right_se:.3f}", abs(right - .5) <= SE * right_se + 1e-9),
            Check("(v) control, true pairs: InfoNCE - log N", kept, f"< {-2 * kept_se:.3f}",
                  kept < -2 * kept_se)]


def dose_cohorts(model: Model, subjects: int, seed: int) -> list[Measured]:
    """Measurements at each of `COUPLINGS` of subjects with enough of every diagnosis."""
    numbers = enriched_subjects(subjects, seed, SHARE, first=10 * subjects)
    return [measure(model.simulate, numbers, seed, coupling=c) for c in COUPLINGS]


def dose(cohorts: Sequence[Measured], rng: np.random.Generator) -> list[Check]:
    """(vi): what the ECG tells about phenotypes and diagnoses beyond demographics, by coupling.

    Args:
        cohorts: the same subjects at each of `COUPLINGS`; rng: of the bootstrap.
    Returns:
        Two checks a target (zero at 0; never falling, and above zero at 1), and the same of the
        first canonical correlation of ECG and image.
    """
    none = cohorts[0]
    basis = of_demographics(none)
    shown = [estimate.residual(m.ecg, basis) for m in cohorts]  # [N, F] each
    targets = {name: none.phenotypes[:, COLUMN[name]] for name in TARGETS}
    targets.update(zip(LABELS, none.labels.T, strict=True))
    weights = estimate.predict(shown[0], np.eye(len(basis)), penalty=60.0)  # [N, N]
    checks = []
    for name, value in targets.items():
        target = estimate.residual(value, basis)[:, 0]
        told = np.stack([estimate.predict(x, target, penalty=60.0) for x in shown], axis=1)
        null = estimate.null_correlations(weights, target, rng)
        checks += _dose_checks(name, estimate.bootstrap(told, target, rng),
                               [estimate.correlation(column, target) for column in told.T],
                               (float(null.mean()), float(null.std())))
    image = estimate.residual(none.image, basis)
    pairs = [estimate.cca(x, image, count=1) for x in shown]
    told = np.stack([estimate.standardise(pair.u[:, 0]) * estimate.standardise(pair.v[:, 0])
                     for pair in pairs], axis=1)  # [n, 4], means are correlations
    drawn = np.stack([told[rng.integers(0, len(told), len(told))].mean(0) for _ in range(300)])
    return checks + _dose_checks("image (CCA)", drawn, told.mean(0).tolist(),
                                 (0.0, float(drawn[:, 0].std())))


def matched_retrieval(m: Measured, uncoupled: Measured) -> list[Check]:
    """(vii): how often the own image wins, against all and against matched negatives.

    Args:
        m: measured at coupling 1; uncoupled: the same subjects at coupling 0.
    Returns:
        The two numbers at coupling 1, reported, and the matched one at coupling 0, at chance.
    """
    checks = []
    for name, one in (("coupling 1", m), ("coupling 0", uncoupled)):
        score = estimate.scores(estimate.cca(one.ecg, one.image))
        test = one.rows(np.arange(len(one.ecg)) % 4 == 3)
        top = float(np.mean(score.argmax(1) == np.arange(len(score))))
        share, se, count = estimate.pairwise(score)
        checks.append(Check(f"(vii) own image above any other, {name}", share, "reported", None,
                            f"SE {se:.3f}, {count:.0f} negatives, first in {100 * top:.1f} %"))
        share, se, count = estimate.pairwise(score, _matched(test))
        known = one is uncoupled and np.isfinite(share)
        checks.append(Check(
            f"(vii) own image above a matched one, {name}", share,
            f".5 +- {SE * se + .02:.3f}" if known else "reported",
            abs(share - .5) <= SE * se + .02 if known else None,
            f"SE {se:.3f}, {count:.1f} negatives"))
    return checks


def nuisance_retrieval(model: Model, m: Measured, seed: int) -> list[Check]:
    """New nuisances change no retrieval; old nuisances without the physiology allow none.

    Args:
        model: the generator; m: subjects 0 .. N - 1 measured at coupling 1; seed: of the cohort.
    Returns:
        Two checks.
    """
    numbers = list(range(len(m.ecg)))
    fresh = measure(model.simulate, numbers, seed, ecg_seed=seed + 1)
    other = measure(model.simulate, numbers, seed + 2, ecg_seed=seed)
    own = estimate.pairwise(estimate.scores(estimate.cca(m.ecg, m.image)))
    new = estimate.pairwise(estimate.scores(estimate.cca(fresh.ecg, m.image)))
    change, se = new[0] - own[0], float(np.hypot(own[1], new[1]))
    none = estimate.pairwise(estimate.scores(estimate.cca(other.ecg, m.image)))
    return [Check("new ECG nuisances: change of retrieval", change, f"0 +- {SE * se:.3f}",
                  abs(change) <= SE * se),
            Check("same nuisance seeds, other latents: retrieval", none[0],
                  f".5 +- {SE * none[1]:.3f}", abs(none[0] - .5) <= SE * none[1] + 1e-9)]


def arrays(m: Measured, uncoupled: Measured, rng: np.random.Generator) -> list[Check]:
    """Border pixels, offsets, array statistics and file order predict nothing.

    Args:
        m: measured at coupling 1; uncoupled: the same subjects at coupling 0, where the ECG shows
            demographics and nothing else; rng: of the permutations.
    Returns:
        Checks; the number is the largest R2 beyond the median of its permutations.
    """
    basis = of_demographics(m)
    main = [*range(10), *(COLUMN[name] for name in ("WT_Global", "Ecc_Global", "Err_Global"))]
    anatomy = np.c_[basis, estimate.standardise(m.phenotypes[:, main])]
    targets = estimate.residual(np.c_[m.labels, m.phenotypes], basis)  # [N, 64]
    offsets = estimate.even_spread(estimate.residual(uncoupled.ecg_margin, basis), basis)
    fat = estimate.quadratic(_latent(m, ("bmi", "male")))  # reaches the border in the obese
    border = estimate.even_spread(
        estimate.residual(m.image_margin[:, :-12], basis, penalty=3.0), fat)
    private = estimate.even_spread(estimate.residual(m.ecg, causes_of_ecg(m), penalty=3.0), fat)
    statistics = estimate.even_spread(
        estimate.residual(m.image_margin[:, -12:], anatomy, penalty=3.0), basis)
    index = np.arange(len(m.ecg))
    order = np.stack([index, (index - index.mean()) ** 2, index % 2, index % 10,
                      np.sin(2 * np.pi * index / len(index))], axis=1)
    everything = np.c_[m.ecg, m.image, m.labels, _latent(m, DEMOGRAPHICS)]
    tests = (
        ("ECG offsets and extremes at coupling 0 -> labels, phenotypes", offsets, targets),
        ("ECG offsets and extremes at coupling 0 -> image statistics", offsets, statistics),
        ("border pixels -> labels, phenotypes", border, targets),
        ("border pixels -> ECG, given all latents", border, private),
        ("image statistics -> labels, given anatomy", statistics,
         estimate.residual(m.labels, anatomy, penalty=3.0)),
        ("file order -> ECG, image, labels, demographics", order, everything))
    return [_by_permutation(name, *estimate.largest_correlation(x, y, rng), _SMALLEST_R2)
            for name, x, y in tests]


def causes_of_ecg(m: Measured) -> np.ndarray:
    """[N, D]: demographics, the record's expected features given all latents, main squares."""
    mean = _expected_features(m, 1.0)
    main = estimate.standardise(_latent(m, ("bmi", "lvm", "lvef", "heart_rate", "age")))
    scar = np.eye(4)[m.latents["scar_territory"].astype(int)] * m.latents["scar_size"][:, None]
    blocks = _latent(m, DEMOGRAPHICS), mean, main**2, scar
    return estimate.standardise(np.concatenate(blocks, axis=1))


def causes_of_image(m: Measured) -> np.ndarray:
    """[N, D]: body mass, the true anatomy in volumes, thickness and strain, and main squares."""
    body = _latent(m, ("bmi", "lvedv", "lvesv", "lvm", "rvedv", "rvesv", "longitudinal_strain"))
    main = estimate.standardise(body)
    blocks = main, main**2, (main[:, :1] * main[:, 1:]), m.phenotypes
    return estimate.standardise(np.concatenate(blocks, axis=1))


def of_demographics(m: Measured) -> np.ndarray:
    """[N, D]: demographics, their products, and the features that they alone give an ECG."""
    expected = estimate.standardise(_expected_features(m, 0.0))
    return np.c_[estimate.quadratic(_latent(m, DEMOGRAPHICS)), expected]


def _expected_features(m: Measured, coupling: float) -> np.ndarray:
    """[N, 24]: features of the ECG without its private numbers."""
    rows, still = [], dict.fromkeys(PRIVATE_SD, 0.0)
    for row in range(len(m.ecg)):
        person = {name: float(value[row]) for name, value in m.latents.items()}
        shown = couple(person, dict.fromkeys(SWITCHES, 0.0), 0.0, coupling)
        rows.append([float(v) for v in astuple(features(shown, still, 1.0))])
    return np.array(rows)


def _dose_checks(name: str, drawn: np.ndarray, r: list[float],
                 null: tuple[float, float]) -> list[Check]:
    """Zero at coupling 0 by the null's mean and SD; monotone by bootstrap draws [B, 4] of r."""
    se, steps = drawn.std(0), np.diff(drawn, axis=1).std(0)
    detail = "r at " + ", ".join(f"{c:g}: {value:.3f} +- {s:.3f}"
                                 for c, value, s in zip(COUPLINGS, r, se, strict=True))
    rising = bool(np.all(np.diff(r) >= -SE * steps)) and r[-1] - r[0] > 0
    return [Check(f"(vi) {name}: r beyond demographics at coupling 0", r[0],
                  f"{null[0]:.3f} +- {SE * null[1]:.3f}", abs(r[0] - null[0]) <= SE * null[1],
                  detail),
            Check(f"(vi) {name}: smallest step of r with coupling", float(np.diff(r).min()),
                  f">= {-SE * steps[int(np.argmin(np.diff(r)))]:.3f}", rising, detail)]


def _by_permutation(name: str, number: float, p: float, negligible: float = 0.0) -> Check:
    """Fails where no permutation reaches the statistic, unless it is negligible."""
    least = 1 / (1 + estimate.PERMUTATIONS)
    also = f" or <= {negligible}" if negligible else ""
    return Check(name, number, f"p > {least:.3f}{also}",
                 p > least + 1e-9 or number <= negligible, f"p = {p:.3f}")


def _latent(m: Measured, names) -> np.ndarray:
    return np.stack([m.latents[name] for name in names], axis=1)


def _within_strata(m: Measured, rng: np.random.Generator) -> np.ndarray:
    """Rows permuted among subjects alike in sex, BSA, age and rate, within each part of the CCA."""
    bsa, age, rate = (m.latents[name] for name in ("bsa", "age", "heart_rate"))
    stratum = m.latents["male"].astype(int)
    for value, parts in ((bsa, 2), (age, 2), (rate, 2)):
        bounds = np.quantile(value, np.arange(1, parts) / parts)
        stratum = stratum * parts + np.searchsorted(bounds, value)
    stratum = stratum * 4 + np.arange(len(bsa)) % 4
    rows = np.arange(len(bsa))
    for number in np.unique(stratum):
        inside = np.flatnonzero(stratum == number)
        mixed = rng.permutation(inside)
        rows[mixed] = np.roll(mixed, 1)  # no one keeps the own image, unless alone
    return rows


def _matched(m: Measured) -> np.ndarray:
    """[n, n]: pairs of the same sex, BSA within .05 m2, age within 3 years, rate within 3 bpm."""
    allowed = ~np.eye(len(m.ecg), dtype=bool)
    for name, width in (("male", .5), ("bsa", .05), ("age", 3.0), ("heart_rate", 3.0)):
        value = m.latents[name]
        allowed &= np.abs(value[:, None] - value) <= width
    return allowed


def text(checks: list[Check], subjects: int, seed: int) -> str:
    """How many checks passed, then a line for each: verdict, name, number, bound, detail."""
    verdict = {True: "pass", False: "FAIL", None: "    "}
    sound = sum(check.passed is not False for check in checks)
    return "\n".join([
        f"{subjects:,} subjects, seed {seed}, generator {VERSION}: {sound} of {len(checks)} checks "
        "without fault", "",
        *(f"{verdict[c.passed]}  {c.name:<62} {c.number:>9.4f}  {c.bound}"
          + (f"  [{c.detail}]" if c.detail else "") for c in checks)]) + "\n"


def parser() -> Parser:
    """The command's arguments."""
    command = Parser(prog="python -m data_synth audit", description=(
        "Check that ECG and image share physiology and nothing else."))
    command.add_report(1500)
    command.add_argument("--graph", action="store_true",
                         help="only print the declared causal graph, in Markdown")
    return command


def main(words: list[str]) -> int:
    """Run the command.

    Args:
        words: of the command line after `audit`.
    Returns:
        0 if every check passed, 1 if one failed; a bad argument exits with 2.
    """
    command = parser()
    options = command.parse_args(words)
    if options.graph:
        print(graph.document(), end="")
        return 0
    try:
        checks = run(options.subjects, options.seed)
    except ValueError as error:
        command.error(str(error))
    shown = text(checks, options.subjects, options.seed)
    print(shown, end="")
    if options.out:
        write_results(options.out, ["audit", *words], shown)
    if options.json:
        write_json(options.json, {"version": VERSION, "subjects": options.subjects,
                                  "seed": options.seed,
                                  "checks": [asdict(check) for check in checks]})
    return 1 if any(check.passed is False for check in checks) else 0
