"""The worked ports pass the vectors of masking and CLIP loss, tensor by tensor."""

from __future__ import annotations

import importlib.util

import pytest

from helpers import ROOT
from reference import adapters, conformance
from reference.__main__ import main

COMPONENTS = {"random_mask", "gather_tokens", "clip_loss"}
NEEDS = {"numpy": "numpy", "jax": "jax"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NEEDS)
def test_port_passes_with_every_tensor(name, dtype):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    cases = conformance.read_vectors()
    port = adapters.load(ROOT / "tests" / "ports" / f"{name}_port.py", COMPONENTS)
    assert set(port) == COMPONENTS
    for summary, outcomes in conformance.check(conformance.select(cases, COMPONENTS), port,
                                               [dtype], "steps"):
        assert [conformance.failure_line(o) for o in outcomes if o.status != "pass"] == []
        assert summary.compared == summary.tensors > 0


def test_the_command_of_the_documentation(capsys):
    assert main(["verify", "--adapter", str(ROOT / "tests" / "ports" / "numpy_port.py"),
                 "--dtype", "both"]) == 0
    assert "3 of 3 implemented components pass, 0 fail" in capsys.readouterr().out
