"""Small golden vectors on disk."""

from __future__ import annotations

import pytest

from reference.conformance.vectors import write_case
from tests.support.cases import made_case


@pytest.fixture()
def vectors(tmp_path):
    """Two components, `sum` with two cases and `other` with one."""
    for name, component in (("sum_one", "sum"), ("sum_two", "sum"), ("other_one", "other")):
        case = made_case(name, component)
        write_case(tmp_path / "vectors", case, seed=0, command="none")
    return tmp_path / "vectors"
