"""The reference held against the oracle: every golden vector, and the files they are kept in."""

import pytest
import torch

from reference.conformance import adapters
from reference.conformance.builtin import COMPONENTS, PARTS, networks
from reference.conformance.vectors import compare, read_case
from tests.oracle import generate

BUILT = generate.build()
NAMES = [case.name for case, _ in BUILT]
LOSSES = (  # of mdm_ten_steps
    1.878387112697, 1.842780481053, 1.78245374265, 1.678670730001, 1.524870508371,
    1.512071949594, 1.426843550352, 1.364701790207, 1.400645721226, 1.335744019758)


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


def test_literal_losses_of_ten_steps():
    case = read_case(generate.GOLDEN / "mdm_ten_steps")
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-6)):
        got = COMPONENTS[case.component](case, dtype)["step/losses"]
        assert got == pytest.approx(LOSSES, rel=tolerance), dtype


@pytest.mark.parametrize("old, new", [("param/fc1.bias", "param/fc3.bias"),
                                      ("param/fc2.weight", "in/fc2.weight")])
def test_parameters_of_other_names_are_refused(old, new):
    case = read_case(generate.GOLDEN / "mlp")
    entries = {new if name == old else name: entry for name, entry in case.entries.items()}
    with pytest.raises(ValueError, match=rf"parameters of mlp do not fit: missing \['{old[6:]}'\]"):
        networks.mlp(case._replace(entries=entries), "float64")


def test_building_a_module_leaves_the_random_state_alone():
    state = torch.random.get_rng_state()
    networks.block(read_case(generate.GOLDEN / "block"), "float32")
    assert (torch.random.get_rng_state() == state).all()
