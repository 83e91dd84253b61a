"""A valid cohort, and a copy that a test may spoil."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cohorts import some_arrays, write


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("cohort") / "valid"
    write(directory, some_arrays())
    return directory


@pytest.fixture
def copied(pristine, tmp_path) -> Path:
    """A valid cohort that a test may spoil."""
    directory = tmp_path / "cohort"
    directory.mkdir()
    for file in pristine.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory
