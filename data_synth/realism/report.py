"""How real are the simulated subjects? One table: quantity, target, obtained, inside or not.

    rows of `targets`   measured on traces, masks and phenotypes (`measurement`, `statistics`)
    rows of a model     held-out r, or AUC, of what an electrocardiogram alone tells:
                        inputs = delineation + 8 leads x 12 principal components of the median
                        beat + 400 random rectified combinations of both; ridge or logistic probe
    rows of a record    if one is given: does the range of simulated traces hold its statistics?

Demographics are not among the model's inputs. Low ejection fractions are rare, so subjects who have
one are looked for beyond the cohort and added to that row's train and test positives.

Glossary: r, Pearson correlation; AUC, area under the ROC curve; se, standard error; band, what is
allowed; inside, the value is in the band (or less than two se away: "within error").
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from data_synth.command import Parser, Progress, write_results
from data_synth.heart import physiology
from data_synth.realism import gallery, measurement, real_record, statistics
from data_synth.realism.measurement import ECG_COLUMNS, Measured
from data_synth.realism.real_record import RealRecord
from data_synth.realism.targets import ROWS, Row
from data_synth.simulation import VERSION, check_arguments
from reference.atomic import write_text
from reference.probes import logistic_fit, ridge_fit

COMPONENTS = 12  # of each lead's median beat
HIDDEN = 400  # random rectified combinations
EXTRA_SHARE = .03  # subjects with a low ejection fraction added, relative to the cohort
SPLIT = (.70, .80)  # train, validation up to here; the rest is the test
_PENALTIES = tuple(10.0 ** k for k in range(0, 7))


class Result(NamedTuple):
    """One row of the report."""

    row: Row
    value: float
    error: float  # standard error

    @property
    def inside(self) -> str:
        """yes, within error, NO, or not measured."""
        if not np.isfinite(self.value):
            return "not measured"
        away = max(self.row.low - self.value, self.value - self.row.high, 0.0)
        return "yes" if away == 0 else "within error" if away < 2 * self.error else "NO"


def report(subjects: int, seed: int = 0, *, workers: int = 1, record: RealRecord | None = None,
           progress: Callable[[int, int], None] | None = None) -> list[Result]:
    """Simulate, measure and compare with every target.

    Args:
        subjects: how many, numbered from 0; at least 200.
        seed: of the cohort.
        workers: processes.
        record: a real record to compare with, from `real_record.read`.
        progress: called with (subjects done, subjects in all).
    Returns:
        One result for each of `targets.ROWS`, then those of the record.
    Raises:
        ValueError: fewer than 200 subjects; TypeError, ValueError: a bad seed.
    """
    if subjects < 200:
        raise ValueError(f"subjects={subjects}, but should be at least 200")
    check_arguments([0], seed, 1.0, 1.0)
    extra = low_ejection_subjects(subjects, seed, max(20, round(EXTRA_SHARE * subjects)))
    measured = measurement.measure([*range(subjects), *extra], seed, workers=workers,
                                   progress=progress)
    cohort = {name: column[:subjects] for name, column in measured.table.items()}
    models = model_rows(measured, subjects)
    results = [models[k] if row.statistic.startswith("model") else Result(
        row, *statistics.evaluate(row, cohort)) for k, row in enumerate(ROWS)]
    if record is None:
        return results
    return results + [Result(*entry) for entry in real_record.rows(cohort, record)]


def low_ejection_subjects(first: int, seed: int, count: int) -> list[int]:
    """The next `count` subject numbers from `first` on whose ejection fraction is aimed below 38.

    Args:
        first: number to begin with; seed: of the cohort; count: how many.
    Returns:
        Increasing subject numbers; fewer than `count` if 400,000 do not hold them.
    Source: own choice; about .4 % of everyone.
    """
    found: list[int] = []
    for subject in range(first, first + 400_000):
        if len(found) == count:
            break
        if physiology.sample(subject, seed)["ef_target"] < 38:
            found.append(subject)
    return found


def inputs(measured: Measured, train: np.ndarray, seed: int = 0) -> np.ndarray:
    """What a model of the electrocardiogram is given.

    Args:
        measured: N subjects; train: rows that may teach means and components; seed: of the random
            combinations.
    Returns:
        [N, D] float64, finite.
    Source: principal components of each lead; random features after Rahimi and Recht 2008.
    """
    numbers = np.stack([measured.table[name] for name in ECG_COLUMNS], axis=1)  # [N, S]
    missing = np.isnan(numbers)
    numbers = np.where(missing, np.nanmedian(numbers[train], axis=0), numbers)
    flags = missing[:, missing[train].any(axis=0)].astype(float)
    waves = []
    for lead in range(measured.beats.shape[1]):
        beat = measured.beats[:, lead].astype(np.float64)  # [N, T]
        beat = beat - beat[train].mean(axis=0)
        axes = np.linalg.eigh(beat[train].T @ beat[train])[1][:, -COMPONENTS:]  # [T, K]
        waves.append(beat @ axes)
    x = np.concatenate([numbers, flags, *waves], axis=1)  # [N, S + F + 8 K]
    spread = x[train].std(axis=0)
    z = np.clip((x - x[train].mean(axis=0)) / np.where(spread > 0, spread, 1), -5, 5)
    rng = np.random.default_rng(seed)
    mixed = z @ (rng.standard_normal((z.shape[1], HIDDEN)) / np.sqrt(z.shape[1]))
    return np.concatenate([z, np.maximum(mixed + .5 * rng.standard_normal(HIDDEN), 0)], axis=1)


def model_rows(measured: Measured, subjects: int) -> dict[int, Result]:
    """Held-out results of the ECG-only models, by index in `ROWS`.

    Args:
        measured: the cohort's subjects and then those added for their low ejection fraction.
        subjects: how many belong to the cohort.
    Returns:
        index of the row -> result.
    Source: ridge and logistic probes of `reference.probes`, penalty chosen on validation rows.
    """
    rows = np.arange(len(measured.beats))
    edges = [round(share * subjects) for share in SPLIT]
    added = rows[subjects:]
    split = np.split(rows[:subjects], edges)  # train, validation, test
    extra = np.split(added, [round(share * len(added)) for share in (.6, .7)])
    more = [np.concatenate(parts) for parts in zip(split, extra, strict=True)]
    x = inputs(measured, split[0])
    wanted = [k for k, row in enumerate(ROWS) if row.statistic == "model r"]
    y = np.stack([measured.table[ROWS[k].columns[0]] for k in wanted], axis=1)  # [N, C]
    train, val, test = split
    guess = ridge_fit(x[train], y[train], x[val], y[val], _PENALTIES).predict(x[test])
    found = {}
    for column, k in enumerate(wanted):
        r = float(np.corrcoef(guess[:, column], y[test, column])[0, 1])
        found[k] = Result(ROWS[k], r, (1 - r ** 2) / np.sqrt(len(test)))
    for k, row in enumerate(ROWS):
        if row.statistic == "model auc":
            parts = more if row.columns[0] == "low_ef" else split
            found[k] = Result(row, *_held_auc(x, measured.table[row.columns[0]], parts))
    return found


def _held_auc(x: np.ndarray, label: np.ndarray, parts) -> tuple[float, float]:
    """Held-out AUC of a logistic probe, and its standard error (Hanley and McNeil 1982)."""
    train, val, test = parts
    positives = [int(label[p].sum()) for p in parts]
    if min(positives) < 3:
        return np.nan, np.nan
    probe = logistic_fit(x[train], label[train], x[val], label[val], _PENALTIES[1:])
    value = statistics.auc(probe.logits(x[test]), label[test])
    n, m = positives[2], len(test) - positives[2]
    q1, q2 = value / (2 - value), 2 * value ** 2 / (1 + value)
    variance = (value * (1 - value) + (n - 1) * (q1 - value ** 2) + (m - 1) * (q2 - value ** 2))
    return value, float(np.sqrt(variance / (n * m)))


def count(results: list[Result]) -> dict[str, int]:
    """How many rows are inside, nearly, outside, not measured."""
    return {word: sum(result.inside == word for result in results)
            for word in ("yes", "within error", "NO", "not measured")}


def text(results: list[Result], subjects: int, seed: int) -> str:
    """Results -> the report in Markdown: how many rows are inside, then a table of all rows."""
    words = ", ".join(f"{n} {word}" for word, n in count(results).items())
    lines = [f"{subjects:,} subjects, seed {seed}, generator {VERSION}: {words}.", "",
             "| section | quantity | in | target | band | obtained | se | inside |",
             "|---|---|---|---|---|---|---|---|"]
    for result in results:
        row, value, error = result
        unit, group = f", {row.unit}" if row.unit else "", row.group.replace(" | ", " vs ")
        lines.append(f"| {row.section} | {row.quantity}{unit} | {group} | {row.target} | "
                     f"{row.low:.4g} .. {row.high:.4g} | {value:.4g} | {error:.2g} | "
                     f"{result.inside} |")
    return "\n".join(lines) + "\n"


def as_json(results: list[Result], settings: dict[str, int | str]) -> str:
    """The report as JSON; numbers that were not measured are null."""
    def number(value: float) -> float | None:
        return round(float(value), 6) if np.isfinite(value) else None

    return json.dumps({**settings, "rows": [
        {**result.row._asdict(), "obtained": number(result.value),
         "standard_error": number(result.error), "inside": result.inside}
        for result in results]}, indent=1)


def parser() -> Parser:
    """The command's arguments."""
    command = Parser(prog="python -m data_synth report", description=(
        "Measure simulated subjects on their traces, masks and phenotypes and compare every "
        "quantity with its published range."))
    command.add_report(20000)
    add = command.add_argument
    add("--workers", type=int, default=1, metavar="K", help="processes (default 1)")
    add("--record", metavar="FILE", help=(
        "also compare the traces with a real record: NPZ with ecg_mv [12, T], frank_xyz_mv [3, T] "
        "and fs, 500 or 1000 Hz"))
    add("--gallery", metavar="DIR", help="also draw ECG sheets and cine frames (matplotlib)")
    return command


def main(words: list[str]) -> int:
    """Run the command.

    Args:
        words: of the command line after `report`.
    Returns:
        Exit status 0; a bad value exits with 2.
    """
    command = parser()
    options = command.parse_args(words)
    if options.gallery and not gallery.available():
        command.error(gallery.MISSING)
    if not 1 <= options.workers <= 256:
        command.error(f"--workers={options.workers}, but should be in 1..256")
    try:
        record = real_record.read(options.record) if options.record else None
        results = report(options.subjects, options.seed, workers=options.workers, record=record,
                         progress=Progress(sys.stderr))
    except (OSError, TypeError, ValueError) as error:
        command.error(str(error))
    shown = text(results, options.subjects, options.seed)
    print(shown, end="")
    if options.out:
        write_results(options.out, ["report", *words], shown)
    if options.json:
        write_text(options.json, as_json(results, {
            "subjects": options.subjects, "seed": options.seed, "version": VERSION,
            **count(results)}) + "\n")
    if options.gallery:
        for path in gallery.draw(options.gallery, options.seed):
            print(path)
    return 0
