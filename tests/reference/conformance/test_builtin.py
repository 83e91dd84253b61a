"""The reference held against the oracle: every golden vector, and the files they are kept in."""

import pytest

from reference.conformance import adapters
from reference.conformance.builtin import COMPONENTS, PARTS
from reference.conformance.vectors import compare, read_case
from tests.oracle import generate

BUILT = generate.build()
NAMES = [case.name for case, _ in BUILT]


@pytest.mark.parametrize(("case", "seed"), BUILT, ids=NAMES)
def test_regenerating_gives_the_stored_files(case, seed):
    errors = generate.measured_errors(generate.GOLDEN)
    assert generate.differences(case, seed, generate.GOLDEN, errors) == []


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_reference_agrees(name, dtype):
    case = read_case(generate.GOLDEN / name)
    got, expected = COMPONENTS[case.component](case, dtype), case.expected()
    assert list(got) == list(expected)
    found = [compare(key, got[key], want, case.entries[key], dtype)
             for key, want in expected.items()]
    assert [f"{d.name} {d.words}" for d in found if not d.ok] == []


def test_every_component_has_a_case_a_place_and_one_function():
    assert {case.component for case, _ in BUILT} == set(COMPONENTS)
    assert set(COMPONENTS) == {name for names in adapters.GROUPS.values() for name in names}
    assert len(COMPONENTS) == sum(len(part.COMPONENTS) for part in PARTS)
