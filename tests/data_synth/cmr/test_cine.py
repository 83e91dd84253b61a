"""The rendered cine: its masks against the analytic contours, its pixels against its masks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from data_synth import streams
from data_synth.cmr import cine, tissue
from data_synth.heart import geometry, physiology
from data_synth.heart.phenotypes import phenotypes
from data_synth.heart.segments import ANGLES
from tests.support.hearts import average, hearts
from tests.support.helpers import assert_close, assert_equal, assert_shape

COUNT = 300
SEPTAL_HALF = np.abs(ANGLES - 90.0) < 90.0
PIXEL = 1.8  # mm


def rng(seed=11):
    return np.random.default_rng(seed)


class Average:
    """An image stream without variation: normal numbers are zero, uniform numbers one half."""

    def standard_normal(self, size, dtype=np.float64):
        return np.zeros(size, dtype)

    def random(self, size):
        return np.full(size, .5)

    def integers(self, low, high, size, dtype):
        return np.full(size, 0x8000_8000_8000_8000, dtype)  # the quantiles next to zero


def seen(heart, stream=None):
    """The contours that the slice shows; without a stream those of the middle ring."""
    return cine.shown(heart, cine.draw_scene(stream or Average()))


@pytest.fixture(scope="module")
def population():
    """Heart, image, mask and latents of COUNT subjects."""
    result = []
    for subject in range(COUNT):
        latents = physiology.sample(subject, 0)
        heart = geometry.realise(latents, streams.generator(0, subject, "anatomy"))
        image, mask = cine.render(heart, streams.generator(0, subject, "cmr"))
        result.append((heart, image.astype(np.float16), mask, latents))
    return result


def test_render_form(population):
    heart = hearts()
    image, mask = cine.render(heart, rng())
    assert image.dtype == np.float32 and mask.dtype == np.uint8
    assert_shape("cmr", image, (3, 210, 210))
    assert_shape("segmentation", mask, (3, 210, 210))
    for _, image, mask, _ in population:
        assert np.all(np.isfinite(image)) and image.min() >= 0 and image.max() <= 1
        for phase in range(3):
            assert_equal("labels", np.unique(mask[phase]), [0, 1, 2, 3])


def test_render_is_deterministic_and_draws_a_fixed_count():
    a, b = rng(), rng()
    one, other = cine.render(hearts(), a), cine.render(hearts(9, lvedv_target=250.0, bmi=40.0), b)
    assert a.bit_generator.state == b.bit_generator.state
    again = cine.render(hearts(), rng())
    assert_equal("cmr", again[0], one[0])
    assert_equal("segmentation", again[1], one[1])
    assert not np.array_equal(one[0], other[0])
    assert not np.array_equal(one[0], cine.render(hearts(), rng(12))[0])


def test_render_knows_nothing_but_the_anatomy():
    plain = cine.render(hearts(), rng())
    labelled = cine.render(hearts(cad=1.0, af=1.0, dm=1.0, heart_rate=99.0, male=1.0), rng())
    for got, want in zip(labelled, plain, strict=True):
        assert_equal("cine", got, want)


def test_render_bmi_changes_fat_only():
    thin, obese = (cine.render(average(bmi=bmi), Average()) for bmi in (20.0, 38.0))
    assert_equal("segmentation", obese[1], thin[1])
    assert_equal("inside of the chest", obese[0][:, 60:140, 60:140], thin[0][:, 60:140, 60:140])
    fat = [(image[0] > .5).sum() for image, _ in (thin, obese)]
    assert fat[1] > 1.2 * fat[0]


def test_render_mask_areas_are_the_analytic_ones(population):
    errors = []
    for subject, (heart, _, mask, _) in enumerate(population):
        cut = seen(heart, streams.generator(0, subject, "cmr"))
        centre, along, across = heart.rv_ellipse.T[..., None]  # [3, 1] each
        right = geometry.crescent_area(centre, along, across, cut.epi[:, SEPTAL_HALF])
        for phase in range(3):
            cavity = math.pi * np.mean(cut.endo[phase] ** 2)
            muscle = math.pi * np.mean(cut.epi[phase] ** 2) - cavity
            areas = np.array([cavity, muscle, right[phase]])
            counted = np.array([(mask[phase] == label).sum() for label in (1, 2, 3)]) * PIXEL**2
            errors.append((counted - areas) / areas)
    errors = np.array(errors)
    assert_close("bias", errors.mean(axis=0), np.zeros(3), atol=.0015)
    assert np.all(errors.std(axis=0) < (.008, .015, .010)), errors.std(axis=0)
    assert np.all(np.abs(errors).max(axis=0) < (.03, .06, .05)), np.abs(errors).max(axis=0)


def test_render_heart_lies_in_the_box(population):
    outside = 0
    for _, _, mask, _ in population:
        beyond = mask.any(axis=0)
        beyond[44:122, 68:146] = False
        outside += bool(beyond.any())
    assert outside <= .01 * COUNT


def axis_of(mask):
    """Row and column of the LV's axis, from the centroid of its blood at ED."""
    return np.argwhere(mask[0] == cine.LV_BLOOD).mean(axis=0)


def test_render_place_and_direction(population):
    centres, directions = [], []
    for _, _, mask, _ in population:
        points = np.argwhere(mask[0] > 0)
        centres.append((points.max(axis=0) + points.min(axis=0)) / 2)
        row, column = axis_of(mask) - np.argwhere(mask[0] == cine.RV_BLOOD).mean(axis=0)
        directions.append(math.degrees(math.atan2(row, column)))  # 0 left, 90 up
    centres = np.array(centres)
    assert_close("middle", centres.mean(axis=0), (83.5, 107.5), atol=1.5)
    assert np.all(centres.std(axis=0) > 4) and np.all(centres.std(axis=0) < 9)
    assert_close("septal angle", np.mean(directions), 45, atol=3)
    assert_close("septal angle SD", np.std(directions), 15, atol=2.5)


def reach(mask, degrees):
    """Radius (mm) of LV blood from the axis in a direction, 0 right, 90 up."""
    row, column = axis_of(mask)
    steps = np.arange(0, 30, .02)
    rows = (row - steps * math.sin(math.radians(degrees))).round().astype(int)
    columns = (column + steps * math.cos(math.radians(degrees))).round().astype(int)
    return (mask[2][rows, columns] == cine.LV_BLOOD).sum() * .02 * PIXEL


@pytest.mark.parametrize("territory, degrees", [(1, 75), (2, -45), (3, -165)])
def test_render_scar_stays_where_its_artery_runs(territory, degrees):
    """Septum up-left (135): anterior up-right (45), lateral down-right, inferior down-left."""
    heart = average(scar_size=25.0, scar_territory=float(territory), scar_transmurality=.9)
    _, mask = cine.render(heart, Average())
    here, opposite = reach(mask, degrees), reach(mask, degrees + 180)
    assert here > 1.25 * opposite
    at = (degrees - 45 + 180) % 360 - 180  # AHA angle: anterior 0 lies at 45, septal 90 at 135
    contour = np.interp(at, ANGLES, heart.endo[2, 1], period=360)
    assert_close("radius", here, contour, atol=2.0)


@pytest.mark.parametrize("beyond", [0.0, 12.0, 1e4])
def test_window_is_the_whole_one_near_the_heart(beyond):
    """Cut to the pixels near any phase of the heart, with the same numbers in them."""
    for subject in range(3):
        latents = physiology.sample(subject, 1)
        cut = seen(geometry.realise(latents, np.random.default_rng(subject)))
        z = np.random.default_rng(9 + subject).standard_normal(3)
        whole, part = cine._window(cut, z), cine._window(cut, z, 0.0, beyond)
        inside = tuple(slice(p.start - w.start, p.stop - w.start)
                       for w, p in zip(whole[:2], part[:2], strict=True))
        for name in ("rho", "theta", "across", "along"):
            assert np.array_equal(getattr(whole, name)[inside], getattr(part, name)), name
        assert np.array_equal(whole.up[inside[0]], part.up)
        assert np.array_equal(whole.leftwards[inside[1]], part.leftwards)
        _, epi, right = cine._distances(cut, whole)
        left_out = np.ones((cine.WINDOW, cine.WINDOW), bool)
        left_out[inside] = False
        assert left_out.any() == (beyond < 1e4)
        if beyond < 1e4:  # the distance to an ellipse is underestimated, by a half at most
            assert epi[:, left_out].min() > beyond and 2 * right[:, left_out].min() > beyond
            assert left_out.mean() > .3


def test_labels_against_a_loop():
    heart = hearts(scar_size=20.0, scar_territory=3.0, scar_transmurality=.8)
    _, mask = cine.render(heart, Average())
    row, column = axis_of(mask)
    window = cine._window(seen(heart), np.zeros(3))
    rows, columns, rho, across, along = (getattr(window, name) for name in (
        "rows", "columns", "rho", "across", "along"))
    k = np.unravel_index(np.argmin(rho), rho.shape)
    assert_close("axis", (rows.start + k[0], columns.start + k[1]), (row, column), atol=1.0)
    wrong = 0
    assert rho.shape == (cine.WINDOW, cine.WINDOW)
    for i in range(0, cine.WINDOW, 3):
        for j in range(0, cine.WINDOW, 3):
            x, y = float(across[i, j]), float(along[i, j])
            assert_close("rho", rho[i, j], math.hypot(x, y), rtol=1e-5)
            degrees = math.degrees(math.atan2(x, y))
            for phase in range(3):
                endo, epi = (np.interp(degrees, ANGLES, contour[phase, 1], period=360)
                             for contour in (heart.endo, heart.epi))
                centre, a, b = heart.rv_ellipse[phase]
                inside = ((x - centre) / b) ** 2 + (y / a) ** 2 < 1 and x > 0
                want = 1 if rho[i, j] < endo else 2 if rho[i, j] < epi else 3 * inside
                wrong += want != mask[phase, rows.start + i, columns.start + j]
    assert wrong <= 3  # pixels whose centre lies on an edge
    for i, j in ((11, 10), (10, 11)):
        assert_close("one pixel", across[10, 10] - across[i, j], PIXEL * math.sqrt(.5), atol=1e-3)


def test_render_intensities_follow_the_mask(population):
    ratios = []
    for _, image, mask, _ in population[:100]:
        image = image.astype(np.float64)
        blood, muscle, right = (np.median(image[0][mask[0] == label]) for label in (1, 2, 3))
        ratios.append((muscle / blood, right / blood))
        assert blood > .3
    ratios = np.array(ratios)
    assert_close("muscle and RV over LV blood", ratios.mean(axis=0), (.50, .97), atol=.07)
    assert .02 < ratios[:, 0].std() < .12


def test_render_edges_lie_on_the_mask():
    """Without noise the half-way intensity between blood and muscle falls on the contour."""
    heart = average()
    image, mask = cine.render(heart, Average())
    blood, muscle = np.percentile(image[0][mask[0] == 1], 80), np.median(image[0][mask[0] == 2])
    bright = image[0] > (blood + muscle) / 2
    bright[mask[0] == 3] = False
    near = np.zeros_like(bright)
    row, column = axis_of(mask).round().astype(int)
    near[row - 17:row + 18, column - 17:column + 18] = True
    counted = (bright & near & (mask[0] > 0)).sum() / (mask[0] == 1).sum()
    assert_close("bright area over blood", counted, .93, atol=.06)  # papillaries are dark


def test_papillary_muscles_are_blood_in_the_mask():
    image, mask = cine.render(average(), Average())
    inner = mask[0] == 1
    dark = inner & (image[0] < .75 * np.median(image[0][inner]))
    row, column = axis_of(mask)
    points = np.argwhere(dark)
    points = points[np.hypot(*(points - (row, column)).T) * PIXEL < 21]
    # anterolateral at AHA -45 lies to the right, inferolateral at -150 below on the left
    angles = np.degrees(np.arctan2(row - points[:, 0], points[:, 1] - column))
    assert np.any(np.abs(angles - 0) < 20) and np.any(np.abs(angles + 105) < 20)
    assert .02 < len(points) / inner.sum() < .12


def test_corners_tell_nothing(population):
    corners, table = [], []
    for heart, image, _, _ in population:
        image = image.astype(np.float64)
        corner = np.concatenate([image[:, rows, columns].ravel()
                                 for rows in (slice(0, 10), slice(-10, None))
                                 for columns in (slice(0, 10), slice(-10, None))])
        corners.append((corner.mean(), corner.std()))
        ef = 1 - heart.lv_volumes[2] / heart.lv_volumes[0]
        table.append((heart.lv_volumes[0], ef, heart.lv_mass, heart.rv_volumes[0]))
    r = np.corrcoef(np.array(corners).T, np.array(table).T)[:2, 2:]
    assert np.all(np.abs(r) < 4 / math.sqrt(COUNT)), r
    assert np.all(np.array(corners)[:, 0] < .1)


def test_noise_is_rician_and_private(population):
    """In air the magnitude of two normal channels has mean / SD = sqrt(pi / (4 - pi)) = 1.913."""
    _, image, _, _ = population[0]
    air = image[:, :12, :12].astype(np.float64)
    assert_close("mean over SD", air.mean() / air.std(), 1.913, atol=.15)
    frames = air.reshape(3, -1)
    assert abs(np.corrcoef(frames)[0, 1]) < .25


def test_receiver_noise_is_two_channels_of_three_frames():
    first, second = (np.random.default_rng(2) for _ in range(2))
    noise = cine.receiver_noise(first)
    assert noise.shape == (2, 3, 210, 210) and noise.dtype == np.uint16
    assert_equal("drawn in turn", noise.ravel(), streams.places(second, noise.size))


def test_beyond_the_body_there_is_air_in_every_frame():
    colour, flat = tissue.contrast(np.zeros(8)), np.zeros((210, 210), np.float32)
    for subject in range(12):
        drawn = cine.draw_scene(np.random.default_rng(subject))
        frame, within = tissue.body(20 + 1.5 * subject, colour, drawn.chest, flat,
                                    cine._roll(drawn))
        beyond = np.ones((210, 210), bool)
        beyond[tuple(slice(s.start + (s.start > 0), s.stop - (s.stop < 210)) for s in within)] = 0
        assert beyond.any() and frame[~beyond].any()
        for shift in (-.875, .875):
            moved = frame.copy()
            tissue.beat(moved, shift)
            assert not moved[beyond].any(), subject


def test_drawn_in_part_as_in_whole(monkeypatch):
    """Each tissue within its own box, and signal near body and heart alone, cut nothing off."""
    whole = slice(0, 210), slice(0, 210)
    for subject in range(6):
        latents = physiology.sample(subject, 0)
        heart = geometry.realise(latents, streams.generator(0, subject, "anatomy"))
        drawn = cine.draw_scene(streams.generator(0, subject, "cmr"))
        part, _ = cine.paint(heart, drawn)
        with monkeypatch.context() as patch:
            patch.setattr(cine, "_hull", lambda *boxes: whole)
            patch.setattr(cine, "_around", lambda *given: (slice(None), slice(None)))
            assert_equal("image", part, cine.paint(heart, drawn)[0])


def test_papillary_muscle_against_the_whole_window():
    """Its box holds all of it, and the share is the law of cosines in each pixel."""
    cut = seen(hearts())
    for degrees, turn in ((-45.0, 0.0), (-150.0, 1.0), (70.0, -1.5), (170.0, 0.4)):
        window = cine._window(cut, np.array([turn, 0.0, 0.0]))
        rows, columns, share = cine._papillary(cut, window, degrees, .62, 3.6)
        whole = np.zeros((3, *window.rho.shape), np.float32)
        whole[:, rows, columns] = share
        angle = np.degrees(np.arctan2(window.across, window.along)) - degrees
        point = round((degrees + 180) / 2.5) % 144
        for phase in range(3):
            away = cut.endo[phase, point] * .62
            gap = np.sqrt(window.rho**2 + away**2
                          - 2 * away * window.rho * np.cos(np.radians(angle))) - 3.6
            assert_close("share", whole[phase], np.clip(.5 - gap / 2, 0, 1), atol=.05)
        assert whole.max() == 1 and share.size < whole.size / 10


def test_bounds_contain_the_heart():
    for seed in range(6):
        heart = hearts(seed)
        above, below, left, right = cine.bounds(seen(heart), 45.0)
        _, mask = cine.render(heart, Average())
        row, column = axis_of(mask)
        points = np.argwhere(mask[0] > 0)
        got = (row - points[:, 0].min(), points[:, 0].max() - row,
               column - points[:, 1].min(), points[:, 1].max() - column)
        assert_close("reach", got, (above, below, left, right), atol=1.6)


# ---- slice, patient, liver -----------------------------------------------------------------------

def scene(seed=11, **slip):
    """A scene with slice offset (mm), roll (degrees), and motion of the liver as given."""
    drawn = cine.draw_scene(rng(seed))
    wanted = np.array([slip.get("offset", 0) / 2.5, slip.get("roll", 0) / 4,
                       slip.get("mid", 0) / .35, slip.get("es", 0) / .35])
    return drawn._replace(slip=wanted)


def test_slice_offset_changes_the_image_and_not_the_phenotypes():
    heart = hearts()
    before = phenotypes(heart, {"heart_rate": 60.0})
    areas = [(cine.paint(heart, scene(offset=mm))[1][0] == 1).sum() for mm in (-5, 0, 5)]
    assert areas[0] > 1.02 * areas[1] > 1.04 * areas[2], areas
    assert_equal("phenotypes", phenotypes(heart, {"heart_rate": 60.0}), before)
    spread = [cine.slice_offset(cine.draw_scene(rng(k))) for k in range(200)]
    assert_close("spread", np.std(spread), 2.5, atol=.4)
    assert max(map(abs, spread)) <= 6


def test_patient_roll_turns_heart_and_chest_together():
    heart, turned = average(), []
    for roll in (-8.0, 8.0):
        _, mask = cine.paint(heart, scene(roll=roll))
        row, column = axis_of(mask) - np.argwhere(mask[0] == cine.RV_BLOOD).mean(axis=0)
        turned.append(math.degrees(math.atan2(row, column)))
    assert_close("septum", turned[1] - turned[0], 16.0, atol=1.5)
    left, right = (cine.paint(heart, scene(roll=roll))[0][0] for roll in (-8.0, 8.0))
    assert np.abs(left - right)[160:].max() > .3, "the chest turns as well"


def test_liver_moves_between_frames_and_the_heart_does_not():
    image, _ = cine.paint(average(), scene(mid=.5, es=-.5))
    still, mask = cine.paint(average(), scene())
    assert_equal("first frame", image[0], still[0])
    for phase in (1, 2):
        assert not np.array_equal(image[phase], still[phase])
        inside = mask[phase] == cine.LV_BLOOD
        assert_equal("heart", image[phase][inside], still[phase][inside])


def test_private_latents_of_the_image():
    drawn = scene(offset=3.0, roll=-6.0, mid=.2, es=-.3)
    got = cine.private_latents(drawn)
    want = {"slice_offset": 3, "patient_roll": -6, "liver_shift_mid": .2, "liver_shift_es": -.3,
            "heart_row": 8 * drawn.z[9], "heart_column": 8 * drawn.z[10],
            "heart_turn": 14.5 * drawn.z[8], "muscle_signal": tissue.contrast(drawn.z[:8]).muscle,
            "fat_rim": 3.5 * math.exp(.35 * drawn.z[11]), "coil_4": drawn.z[27],
            "papillary_2_angle": -150 + 9 * drawn.z[16], "papillary_1_radius":
            3.6 * math.exp(.18 * drawn.z[19]), "papillary_2_depth": .62 + .05 * drawn.z[18],
            "liver_row": 4 * drawn.chest[20], "aorta_radius": 6 + .6 * drawn.chest[33],
            "noise_level": .035 + .03 * drawn.u[0], "banding": float(drawn.u[6] < .1)}
    for name, value in want.items():
        assert_close(name, got[name], value, rtol=1e-9)


# ---- point spread and dark arcs ------------------------------------------------------------------

def test_blur_keeps_the_sum_and_has_its_variance():
    image = np.zeros((210, 210), np.float32)
    image[100, 90] = 1
    cine._blur(image, .7)
    assert_close("sum", image.sum(), 1.0, atol=1e-6)
    rows, columns = np.mgrid[:210, :210]
    assert_close("variance", (image * (rows - 100) ** 2).sum(), .49, atol=1e-5)
    assert_close("variance", (image * (columns - 90) ** 2).sum(), .49, atol=1e-5)


def test_blur_against_a_loop_and_its_borders():
    """Each pass leaves its own two border lines as they are; nothing passes from row to row."""
    image = np.random.default_rng(3).random((7, 5)).astype(np.float32)
    want = image.astype(float)
    for lines in (want, want.T):  # along rows, then along columns
        for line in lines:
            line[1:-1] += .32 * (line[2:] + line[:-2] - 2 * line[1:-1])
    cine._blur(image, .8)
    assert_close("blurred", image, want, atol=1e-6)


def test_banding_touches_one_in_ten():
    quiet = cine._banding(np.full(8, .5), np.zeros(3))
    assert_equal("no banding", quiet, 1)
    arcs = cine._banding(np.full(8, .05), np.zeros(3))
    assert_shape("banding", arcs, (210, 210))
    assert_close("depth", arcs.min(), .55, atol=.01)
    assert .6 < np.mean(arcs > .95) < .95


def test_render_larger_heart_is_larger():
    small, large = (cine.render(hearts(lvedv_target=v), Average())[1] for v in (100.0, 240.0))
    ratio = (large[0] == 1).sum() / (small[0] == 1).sum()
    assert_close("area ratio", ratio, 2.4 ** (2 / 3), rtol=.03)
    stunned = replace(hearts(), endo=np.repeat(hearts().endo[:1], 3, axis=0))
    assert_equal("no motion", *(lambda m: ((m[2] == 1).sum(), (m[0] == 1).sum()))(
        cine.render(stunned, Average())[1]))
