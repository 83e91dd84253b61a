"""The chest around the heart: tissues, coil, texture, and what moves between frames."""

from __future__ import annotations

import math

import numpy as np

from data_synth.cmr import tissue
from tests.support.helpers import assert_close, assert_equal, assert_shape


def test_coil_is_brighter_in_front():
    gain = tissue.coil(np.zeros(4))
    assert_close("at the heart", gain[84, 108], 1.0, atol=1e-6)
    assert gain[40, 108] > 1.05 > gain[130, 108]
    assert gain[30:170, 40:180].min() > .7 and gain[30:170, 40:180].max() < 1.35


def test_contrast_does_not_leave_its_order():
    for z in (np.zeros(8), np.full(8, -9.0), np.full(8, 9.0)):
        c = tissue.contrast(z)
        assert c.lung < c.muscle < c.rv_blood and c.muscle < c.fat
    assert_close("muscle", tissue.contrast(np.zeros(8)).muscle, .42, rtol=1e-12)


def test_body_fat_thickness():
    """At the chest's side the outer fat is .85 (15 / 1.8) (BMI / 26.5)^1.5 pixels wide."""
    colour = tissue.contrast(np.zeros(8))
    for bmi in (20.0, 26.5, 35.0):
        flat = np.zeros((210, 210), np.float32)
        image, _ = tissue.body(bmi, colour, np.zeros(tissue.BODY_DRAWS), flat)
        row = image[102, :60]
        width = (row / colour.fat)[row > .6].sum()
        assert_close("fat", width, 15 / 1.8 * (bmi / 26.5) ** 1.5 * .85, atol=1.2)


def test_paint_lays_an_ellipse_of_the_right_area():
    image = np.full((210, 210), .2, np.float32)
    tissue._paint(image, (100.3, 90.6, 22.0, 31.0), .7)
    assert_close("inside", image[90:110, 80:100], np.full((20, 20), .7), atol=1e-6)
    assert_close("outside", image[:70], np.full((70, 210), .2), atol=1e-6)
    assert_close("area", (image - .2).sum() / .5, math.pi * 22 * 31, rtol=.005)
    tissue._surround(image, (100.3, 90.6, 40.0, 50.0), .1)
    assert_equal("surround", image[5, 5], np.float32(.1))
    assert_close("inside stays", image[100, 90], .7, atol=1e-6)


def test_vessels_are_ellipses_of_the_lung():
    places = [(60.3, 80.9), (100.6, 3.2), (207.8, 120.1), (61.0, 82.0)]  # two at borders, two meet
    for roll in (0.0, .3):
        pose = tissue.Pose(103.0, 105.0, math.sin(roll), math.cos(roll))
        image, want = (np.full((210, 210), .06, np.float32) for _ in range(2))
        tissue._vessels(image, places, pose)
        for row, column in places:  # `_paint` turns places by itself
            down, right = row - pose.y, column - pose.x
            upright = (pose.y + pose.cos * down - pose.sin * right,
                       pose.x + pose.sin * down + pose.cos * right)
            tissue._paint(want, (*upright, 1.6, 2.4), .4, pose)
        assert_close("vessels", image, want, atol=1e-4)
        assert image.max() > .39


def test_texture_is_smooth_and_scaled():
    cells = np.random.default_rng(11).standard_normal((27, 27), dtype=np.float32)
    field = tissue.texture(cells, .05)
    assert_shape("texture", field, (210, 210))
    assert .02 < field.std() < .06
    assert np.abs(np.diff(field, axis=0)).max() < .05


def test_body_turns_with_the_patient():
    colour, flat = tissue.contrast(np.zeros(8)), np.zeros((210, 210), np.float32)
    angles = []
    for roll in (-8.0, 0.0, 8.0):
        body, _ = tissue.body(26.5, colour, np.zeros(tissue.BODY_DRAWS), flat, roll)
        bright = np.argwhere((np.abs(body - 1.1) < .05) & (np.indices((210, 210))[0] > 130))
        row, column = bright.mean(axis=0) - (103, 105)  # spinal fluid, below the chest's middle
        angles.append(math.degrees(math.atan2(-column, row)))  # clockwise from straight down
        chest = np.argwhere(body > .02)
        moment = np.cov(chest.T)  # wider than high; its long axis turns with the patient
        angles.append(math.degrees(.5 * math.atan2(2 * moment[0, 1], moment[1, 1] - moment[0, 0])))
    assert_close("spine", np.diff(angles[0::2]), [8, 8], atol=.8)
    assert_close("chest", np.diff(angles[1::2]), [8, 8], atol=1.0)


def test_beat_moves_the_dome_of_the_liver():
    """A ramp of one per row falls by the shift at the dome and stays where the heart is not."""
    ramp = np.repeat(np.arange(210, dtype=np.float32)[:, None], 210, axis=1)
    for shift in (-.6, .6):
        moved = ramp.copy()
        tissue.beat(moved, shift)
        moved -= ramp
        assert_close("dome", moved[146, 72], -shift, atol=1e-4)
        assert_equal("far away", moved[:101].any() or moved[192:].any() or moved[:, 118:].any(),
                     False)
    still = ramp.copy()
    tissue.beat(still, 0.0)
    assert_equal("still", still, ramp)
