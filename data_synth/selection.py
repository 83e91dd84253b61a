"""Which subjects to simulate when rare diagnoses are wanted more often than they occur.

    walk the subject numbers upwards; take a subject who has a diagnosis whose share is not reached
    yet, or who has none while places are left for the healthy; stop at N

Glossary: N subjects, share, the least fraction of N that has each diagnosis.
"""

from __future__ import annotations

import math

from data_synth.heart import physiology

DIAGNOSES = ("cad", "af", "dm")
MAX_SHARE = 0.25  # three diagnoses, and at least a quarter of healthy subjects


def enriched_subjects(count: int, seed: int, share: float, first: int = 0) -> list[int]:
    """Subject numbers in which every diagnosis has at least the given share.

    Each subject is the one that an unselected cohort of the same seed would have; only the choice
    differs, so prevalences (and whatever goes with disease) are no longer those of the population.

    Args:
        count: N, at least 1.
        seed: of the cohort.
        share: 0..0.25 of N for each of CAD, AF, DM; 0 selects nothing.
        first: first subject number to consider.
    Returns:
        N increasing subject numbers.
    Raises:
        ValueError: share outside 0..0.25, or count < 1.
    """
    if not 0 <= share <= MAX_SHARE or count < 1:
        raise ValueError(f"share={share}, count={count}, but should be in 0..{MAX_SHARE} and at "
                         "least 1")
    if share == 0:
        return list(range(first, first + count))
    quota = math.ceil(share * count)
    missing = dict.fromkeys(DIAGNOSES, quota)
    healthy = max(count - len(DIAGNOSES) * quota, 0)
    chosen: list[int] = []
    subject = first
    while len(chosen) < count:
        person = physiology.sample(subject, seed)
        has = [name for name in DIAGNOSES if person[name]]
        reached = all(places <= 0 for places in missing.values())
        if not has and healthy > 0:
            healthy -= 1
            chosen.append(subject)
        elif has and (reached or any(missing[name] > 0 for name in has)):
            missing.update({name: missing[name] - 1 for name in has})
            chosen.append(subject)
        subject += 1
    return chosen
