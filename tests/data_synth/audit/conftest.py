"""Measured people, shared by the tests of the audit: simulating them takes most of its time."""

from __future__ import annotations

import pytest

from data_synth import simulate
from data_synth.audit.measures import Measured, measure
from tests.support import audits
from tests.support.audits import SUBJECTS, N, stored


@pytest.fixture(scope="session")
def measured() -> dict[str, Measured]:
    """The same people as they are, and with a shortcut planted; their arrays are not kept."""
    group = simulate(SUBJECTS)
    return {name: measure(stored(group, change), range(N), 0) for name, change in (
        ("plain", lambda part: part), ("brightness", audits.brightness_tied_to_voltage),
        ("border", audits.label_in_a_border_pixel))}


@pytest.fixture(scope="session")
def plain(measured) -> Measured:
    return measured["plain"]


@pytest.fixture(scope="session")
def uncoupled() -> Measured:
    return measure(simulate, SUBJECTS, 0, coupling=0.0)
