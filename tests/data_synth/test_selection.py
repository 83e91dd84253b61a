"""Choosing subjects so that rare diagnoses are not rare."""

from __future__ import annotations

import math

import pytest

from data_synth.heart import physiology
from data_synth.selection import DIAGNOSES, enriched_subjects


@pytest.mark.parametrize("count, share, seed", [(60, 0.2, 0), (200, 0.1, 3), (40, 0.25, 1)])
def test_enriched_subjects_reach_every_share(count, share, seed):
    chosen = enriched_subjects(count, seed, share)
    assert len(chosen) == count and chosen == sorted(set(chosen))
    people = [physiology.sample(subject, seed) for subject in chosen]
    for name in DIAGNOSES:
        assert sum(person[name] for person in people) >= share * count
    healthy = sum(not any(person[name] for name in DIAGNOSES) for person in people)
    assert healthy == count - 3 * math.ceil(share * count)


def test_share_zero_takes_everyone_from_the_first():
    assert enriched_subjects(5, 0, 0.0, first=7) == [7, 8, 9, 10, 11]


def test_first_subject_is_a_lower_bound_and_choice_is_repeatable():
    chosen = enriched_subjects(30, 0, 0.1, first=1000)
    assert min(chosen) >= 1000 and chosen == enriched_subjects(30, 0, 0.1, first=1000)
    assert chosen != enriched_subjects(30, 1, 0.1, first=1000)


@pytest.mark.parametrize("count, share", [(10, -0.1), (10, 0.3), (0, 0.1), (10, float("nan"))])
def test_enriched_subjects_refuses(count, share):
    with pytest.raises(ValueError, match=r"0\.25"):
        enriched_subjects(count, 0, share)
