"""The worked ports pass the vectors of masking and CLIP loss, tensor by tensor."""

from __future__ import annotations

import importlib.util

import pytest

from reference.__main__ import main
from reference.conformance import adapters, runner
from tests.support.helpers import ROOT

COMPONENTS = {"random_mask", "gather_tokens", "clip_loss"}
NEEDS = {"numpy": "numpy", "jax": "jax"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NEEDS)
def test_port_passes_with_every_tensor(name, dtype):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    cases = runner.read_vectors()
    port = adapters.load(ROOT / "tests" / "ports" / f"{name}_port.py", COMPONENTS)
    assert set(port) == COMPONENTS
    for summary, outcomes in runner.check(runner.select(cases, COMPONENTS), port,
                                               [dtype], "steps"):
        assert [runner.failure_line(o) for o in outcomes if o.status != "pass"] == []
        assert summary.compared == summary.tensors > 0


def test_the_command_of_the_documentation(capsys):
    assert main(["verify", "--adapter", str(ROOT / "tests" / "ports" / "numpy_port.py"),
                 "--dtype", "both"]) == 0
    assert "3 of 3 implemented components pass, 0 fail" in capsys.readouterr().out


@pytest.mark.parametrize("before, after, place", [
    ("int(L * (1 - ratio))", "round(L * (1 - ratio))",
     "random_mask, case random_mask_300, float32: out/keep shape [2, 60], should be [2, 59]"),
    ("noise, axis=1, kind=\"stable\"", "-noise, axis=1, kind=\"stable\"",
     "random_mask, case random_mask_300, float32: out/keep ["),
    ("given[\"keep\"][:, :, None]", "given[\"keep\"][:, :, None] - 1",
     "gather_tokens, case gather_tokens, float32: out/kept ["),
    ("u @ v.T / temperature", "u @ v.T", "clip_loss, case clip_loss, float32: mid/logits ["),
    ("z / np.maximum(length, 1e-12)", "z",
     "clip_loss, case clip_loss, float32: mid/logits ["),
    ("np.maximum(length, 1e-12)\n", "length\n",
     "clip_loss, case clip_loss_zero_row, float32: mid/logits ["),
    ("weight * rows + (1 - weight) * columns", "(1 - weight) * rows + weight * columns",
     "clip_loss, case clip_loss, float32: loss/total ["),
    ("- u * (u * by_u).sum(axis=1, keepdims=True)", "",
     "clip_loss, case clip_loss, float32: grad/z_cmr ["),
    ("\"grad/z_ecg\": by_ecg", "", "clip_loss, case clip_loss, float32: grad/z_ecg is missing"),
    ("return {\"mid/logits\": logits,", "return {", None),
])
def test_a_mistake_in_the_port_is_named(tmp_path, capsys, before, after, place):
    source = (ROOT / "tests" / "ports" / "numpy_port.py").read_text()
    assert source.count(before) == 1
    (tmp_path / "port.py").write_text(source.replace(before, after))
    status = main(["verify", "--adapter", str(tmp_path / "port.py"), "--only",
                   "masking,clip_loss"])
    failures = [line for line in capsys.readouterr().out.splitlines() if ", float32: " in line]
    assert status == (1 if place else 0)
    assert len({line.split(",")[0] for line in failures}) == status  # one component
    assert not place or failures[0].startswith(place)
