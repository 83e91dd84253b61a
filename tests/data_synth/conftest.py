"""A written cohort, shared by the tests of writing and of the command."""

from __future__ import annotations

import pytest

import data_synth
from tests.support.hearts import COHORT


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Directory of a few subjects of seed 4; to be read only."""
    directory = tmp_path_factory.mktemp("synth") / "cohort"
    data_synth.write_cohort(directory, COHORT, 4)
    return directory
