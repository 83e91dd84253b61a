"""Interventions: silent on the generator, and loud on shortcuts planted on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from data_synth.audit import graph, interventions
from data_synth.audit.interventions import Model
from data_synth.cmr import cine
from data_synth.ecg import electrocardiogram
from tests.support.audits import shared_noise
from tests.support.helpers import assert_equal


def test_seeds():
    checks = interventions.seeds(Model(), [3, 11], 4)
    assert_equal("checks", [(c.number, c.passed) for c in checks], [(0.0, True)] * 2)


def test_mechanisms():
    checks = interventions.mechanisms(Model(), [7], 0)
    assert_equal("failed", [c.name + c.detail for c in checks if not c.passed], [])
    assert_equal("checks", len(checks), 4 * 3 + 3)


def test_model_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Model().ecg = None


# ---- planted shortcuts fail ----------------------------------------------------------------------

def test_shared_noise_is_caught_by_seeds():
    checks = interventions.seeds(Model(simulate=shared_noise), [0, 1], 0)
    assert_equal("numbers", [c.number for c in checks], [2.0, 2.0])
    assert not any(c.passed for c in checks)


def test_brightness_tied_to_mass():
    def dim(heart, stream):
        image, mask = cine.render(heart, stream)
        return image * np.float32(1 - .002 * heart.lv_mass), mask
    checks = interventions.mechanisms(Model(cine=dim), [7], 0)
    details = {c.name: c.detail for c in checks if not c.passed}
    name = "(iii) targets -> heart, image, phenotypes: undeclared"
    assert "lvm_target->image:chest" in details[name]
    assert "(iii) do(x) leaves the brightness of blood" in details


def test_undeclared_edge_to_the_ecg():
    def louder(latents, stream, coupling, noise):
        ecg = electrocardiogram.render(latents, stream, coupling, noise)
        return ecg * np.float32(1 + .05 * latents["contractility_e"])
    checks = interventions.mechanisms(Model(ecg=louder), [7], 0)
    details = {c.name: c.detail for c in checks if not c.passed}
    assert_equal("details", details, {
        "(iii) physiology -> rendered ECG: undeclared": "contractility_e->ecg:recording",
        "(iii) do(x) at coupling 0 leaves the ECG bit-identical": "contractility_e"})


@pytest.mark.parametrize("edge, kind", [
    (("bmi", "ef_target"), "silent"), (("dcm", "lvm_target"), "undeclared"),
    (("sbp", "lvedv_target"), "wrong sign")])
def test_a_wrong_declaration(monkeypatch, edge, kind):
    """An edge too many, an edge too few, an edge turned round."""
    edges = [e for e in graph.EDGES if (e.cause, e.effect) != edge]
    if kind != "undeclared":
        edges.append(graph.Edge(*edge, -1, "own"))
    monkeypatch.setattr(graph, "EDGES", tuple(edges))
    targets = interventions._mechanisms(Model())[0]
    moves = interventions.differences(targets, [7], 0)
    found = {name for name in ("undeclared", "silent", "wrong_sign")
             if edge in getattr(moves, name)}
    assert_equal("found", found, {kind.replace(" ", "_")})


def test_coupling_that_never_ends():
    render = electrocardiogram.render
    model = Model(ecg=lambda x, rng_ecg, coupling, noise: render(
        x, rng_ecg, .3 + .7 * coupling, noise))
    silence = interventions._silence_at_zero(model, [7], 0)
    assert not silence.passed and "lvm" in silence.detail
