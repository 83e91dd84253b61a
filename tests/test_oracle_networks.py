"""The reference held against the oracle: golden vectors of the networks and of training steps."""

import pytest

from reference import adapter_autoencoder, adapter_networks
from reference.vectors import compare, read_case
from tests.oracle import cases_autoencoder, cases_networks, generate

BUILT = [pair for module in (cases_networks, cases_autoencoder) for pair in module.build()]
NAMES = [case.name for case, _ in BUILT]
COMPONENTS = {**adapter_networks.COMPONENTS, **adapter_autoencoder.COMPONENTS}


@pytest.mark.parametrize("case, seed", BUILT, ids=NAMES)
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


def test_every_component_has_a_case():
    assert {case.component for case, _ in BUILT} == set(COMPONENTS)
