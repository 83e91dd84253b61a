"""The table of latents: complete, named apart, and each seen only by those it is declared for."""

from __future__ import annotations

import numpy as np
import pytest

import data_synth
from data_synth import simulation, streams
from data_synth.heart import geometry, physiology
from tests.data_synth.heart.test_geometry import LATENTS as AVERAGE
from tests.data_synth.heart.test_geometry import Zeros, average, hearts, values
from tests.support.helpers import assert_close, assert_equal, assert_shape

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
    assert names("shared", "physiology") | names("shared", "derived") == set(
        (*physiology.NAMES, *simulation._REALISED))
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


# ---- anatomy -----------------------------------------------------------------------------------

def test_anatomy_names_what_the_heart_shows():
    """Residuals of a segment appear in its wall and its motion; the gradient from base to apex."""
    hearts_ = [hearts(seed) for seed in range(200)]
    table = dict(zip(geometry.ANATOMY, np.array([heart.anatomy for heart in hearts_]).T))
    assert_shape("anatomy", hearts_[0].anatomy, (len(geometry.ANATOMY),))
    shown = [values(heart) for heart in hearts_]
    for k in (1, 4, 8, 11, 13, 16):
        wall = [v[f"WT_AHA_{k}"] - v["WT_Global"] for v in shown]
        assert np.corrcoef(wall, table[f"wall_residual_{k}"])[0, 1] > .75, k
        ecc = [v[f"Ecc_AHA_{k}"] - v["Ecc_Global"] for v in shown]
        assert np.corrcoef(ecc, table[f"contraction_residual_{k}"])[0, 1] < -.7, k
    for heart, value in zip(hearts_[:20], table["long_short_ratio"]):
        assert_close("ratio", heart.length / heart.radius, value, rtol=1e-12)
    centre = [heart.rv_ellipse[0, 0] / (.8 * heart.epi[0, 1].mean()) for heart in hearts_[:20]]
    assert_close("RV centre", centre, table["rv_centre_factor"][:20], rtol=1e-9)
    assert_close("gradient SD", table["contraction_gradient"].std(), .03, atol=.005)
    for name, sd in (("wall", .061), ("contraction", .20)):
        spread = np.std([table[f"{name}_residual_{k}"] for k in range(1, 17)], axis=1).mean()
        assert_close(name, spread, sd, rtol=.12)


def test_contraction_gradient_runs_from_base_to_apex():
    class One(Zeros):
        def standard_normal(self, size):
            return np.eye(1, size, 6)[0]

    steep = geometry.realise(AVERAGE, One())
    change = (steep.contraction - average().contraction).mean(axis=1)
    assert_close("g", change, [-.03, 0, .03], atol=1e-12)
    assert_close("LVEF", values(steep)["LVEF"], AVERAGE["ef_target"], rtol=1e-9)


# ---- version -----------------------------------------------------------------------------------

PRINTS = {  # of subjects 0..2, seed 0: mean, SD of ECG and of image, and phenotypes
    "ecg": (0.052756872, 0.20561737),
    "cmr": (0.16303994, 0.20308982),
    "phenotypes": (19.368098, 37.280337)}
PIXELS = (386032, 3834, 2827, 4207)  # of each class, give or take those on an edge


def test_version_changes_with_the_output():
    """Other numbers need another VERSION, and other prints here."""
    assert data_synth.VERSION == "3.1"
    got = data_synth.simulate(range(3))
    for name, want in PRINTS.items():
        array = getattr(got, name).astype(np.float64)
        assert_close(name, [array.mean(), array.std()], want, rtol=1e-5)
    assert_close("pixels", np.bincount(got.segmentation.ravel()), PIXELS, atol=3)
