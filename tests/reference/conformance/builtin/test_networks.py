"""The built-in networks: whose parameters they take, and what they leave alone."""

import pytest
import torch

from reference.conformance.builtin import networks
from reference.conformance.vectors import read_case
from tests.oracle import generate


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
