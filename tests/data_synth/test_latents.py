"""The table of latents: complete, named apart, and each seen only by those it is declared for."""

from __future__ import annotations

import numpy as np
import pytest

import data_synth
from data_synth import streams
from data_synth.heart import geometry, physiology
from data_synth.heart.phenotypes import REALISED
from tests.support.helpers import assert_equal

INFO = {latent.name: latent for latent in data_synth.LATENT_INFO}


def names(kind, stream=None):
    return {name for name, latent in INFO.items()
            if latent.kind == kind and stream in (None, latent.stream)}


def test_latents_are_many_and_named_once():
    drawn = [latent for latent in data_synth.LATENT_INFO if latent.stream != "derived"]
    shared = [latent for latent in drawn if latent.kind == "shared"]
    assert len(drawn) >= 160 and len(shared) >= 60
    assert len(names("ecg")) >= 50 and len(names("cmr")) >= 45
    assert_equal("names", len(INFO), len(data_synth.LATENTS))
    assert tuple(INFO) == data_synth.LATENTS
    for latent in data_synth.LATENT_INFO:
        assert latent.stream in (*streams.STREAMS, "derived"), latent
        assert latent.unit and latent.meaning and "\n" not in latent.meaning, latent
        stream = {"ecg": "ecg", "cmr": "cmr"}.get(latent.kind)
        assert latent.stream == stream or latent.kind == "shared", latent


def test_latents_are_those_that_are_simulated():
    one = data_synth.simulate_one(3, 1)
    assert set(one.latents) == set(data_synth.LATENTS)
    assert names("shared", "physiology") | names("shared", "derived") == {
        *physiology.NAMES, *REALISED}
    assert names("shared", "anatomy") == set(geometry.ANATOMY)
    heart = geometry.realise(one.latents, streams.generator(1, 3, "anatomy"))
    assert_equal("anatomy", [one.latents[name] for name in geometry.ANATOMY], heart.anatomy)


@pytest.fixture(scope="module")
def redrawn():
    """Two subjects, plain and with the ECG's or the image's stream replaced."""
    return {kind: data_synth.simulate([1, 2], 4, **options).latents for kind, options in (
        ("plain", {}), ("ecg", {"ecg_seed": 9}), ("cmr", {"cmr_seed": 9}))}


@pytest.mark.parametrize("kind", ["ecg", "cmr"])
def test_private_latents_follow_their_own_stream(redrawn, kind):
    rare = {"ectopic_beat", "cables", "chest_misplaced", "burst", "banding", "trabecula_count"}
    for name, column in redrawn[kind].items():
        same = np.array_equal(column, redrawn["plain"][name])
        assert same == (INFO[name].kind != kind) or name in rare, name


def test_drawn_latents_vary_and_are_independent_of_disease():
    table = data_synth.simulate(range(150), 2).latents
    ef = table["lvef"]
    for name in names("ecg") | names("cmr") | names("shared", "anatomy"):
        column = table[name]
        if name in ("cables", "chest_misplaced", "burst", "ectopic_beat", "banding"):
            continue
        assert column.std() > 0, name
        assert abs(np.corrcoef(column, ef)[0, 1]) < .35, name  # 4.3 standard errors
