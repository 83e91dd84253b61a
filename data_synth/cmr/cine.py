"""Three frames (ED, mid, ES) of a short-axis cine near the middle ring, and their exact masks.

    mask  : blood of the LV where rho < endo(theta), muscle where rho < epi(theta), blood of the RV
            inside its ellipse on the septal side; decided at the pixel's centre, before any blur
    image : bSSFP-like intensities mixed by the share of the pixel, alpha = clip(1/2 - d / w, 0, 1),
            x coil x banding, point spread, then |signal + n1 + i n2|, clipped to [0, 1]

The slice misses the middle ring by N(0, 2.5) mm along the axis (see `section`): the image and its
mask show the contours there, while the phenotypes stay those of the whole heart.

Everything but the anatomy comes from the subject's own image stream, drawn in a fixed order.

Glossary: rho, theta polar coordinates about the LV's axis (mm; AHA angle); d distance outside an
edge (mm); w width of the edge (mm), wider in systole because the slice is 8 mm thick; n1, n2 noise
of the two receiver channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from data_synth.cmr import tissue
from data_synth.cmr.section import MAX_OFFSET_MM, section
from data_synth.heart.geometry import Heart
from data_synth.heart.segments import ANGLES, POINTS
from data_synth.streams import places, quantiles
from reference.cohort.format import PIXEL_MM

SIZE = tissue.SIZE
BOX = ((44.0, 122.0), (68.0, 146.0))  # rows and columns that hold the heart in training
JITTER = 8.0  # pixels, spread of the heart's place
WINDOW = 104  # pixels, side of the part that is drawn anew in each frame
RV_WALL_MM = 3.0
BACKGROUND, LV_BLOOD, MUSCLE, RV_BLOOD = 0, 1, 2, 3

_F = np.float32
_TABLE = 1440  # entries of the contour tables, a quarter degree apart
_DEGREES = -180.0 + 360.0 / _TABLE * np.arange(_TABLE)
_RADIANS = np.radians(_DEGREES)
_FROM_SEPTUM = np.radians(ANGLES - 90.0)  # 0 at the septum, positive towards the inferior wall
_COS, _SIN = np.cos(_FROM_SEPTUM), np.sin(_FROM_SEPTUM)  # [144]
_WIDTH = np.array([2.0, 2.6, 3.2], _F)[:, None, None]  # mm, soft edge of the cavity
_STEPS = np.arange(WINDOW, dtype=_F)
_SCENE_DRAWS = 28
_PAPILLARIES = (-45.0, -150.0)  # degrees, anterolateral and posteromedial
OFFSET_SD = 2.5  # mm, of the slice along the axis
ROLL_SD = 4.0  # degrees, of the patient on the table
_HEART_TURN_SD = 14.5  # degrees, of the heart in the chest; with the roll 15
_DOME_SD = 0.35  # pixels, between-frame motion of the liver's dome


class Scene(NamedTuple):
    """Every random number of one image; none depends on the heart."""

    z: np.ndarray  # [28] normal: contrast 8, place 3, heart 10, banding 3, coil 4
    chest: np.ndarray  # [44] normal, for `tissue.body`
    u: np.ndarray  # [8] uniform: noise, flow 2, gain, blur, trabeculae, banding, unused
    cells: np.ndarray  # [2, 27, 27] normal: texture of the body and of the coil
    noise: np.ndarray  # [2, 3, 210, 210] uint16: two receiver channels (`receiver_noise`)
    slip: np.ndarray  # [4] normal: slice offset, roll, motion of the liver in two frames


def render(heart: Heart, rng_cmr: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the cine of one heart.

    Args:
        heart: from `geometry.realise`.
        rng_cmr: the subject's image stream; the count of numbers drawn is always the same.
    Returns:
        cmr [3, 210, 210] float32 in [0, 1], and segmentation [3, 210, 210] uint8: 0 background,
        1 LV blood (papillary muscles and trabeculae included), 2 muscle of the LV, 3 RV blood.
    """
    return paint(heart, draw_scene(rng_cmr))


def draw_scene(rng_cmr: np.random.Generator) -> Scene:
    """Draw every random number of the image, in an order that nothing changes."""
    return Scene(
        rng_cmr.standard_normal(_SCENE_DRAWS), rng_cmr.standard_normal(tissue.BODY_DRAWS),
        rng_cmr.random(8), rng_cmr.standard_normal((2, 27, 27), dtype=_F),
        receiver_noise(rng_cmr), rng_cmr.standard_normal(4))


def receiver_noise(rng_cmr: np.random.Generator) -> np.ndarray:
    """Thermal noise of two receiver channels, standard normal.

    Args:
        rng_cmr: the subject's image stream.
    Returns:
        [2, 3, 210, 210] uint16, places in `streams.quantiles`.
    """
    return places(rng_cmr, 2 * 3 * SIZE * SIZE).reshape(2, 3, SIZE, SIZE)


def slice_offset(scene: Scene) -> float:
    """How far (mm, towards the apex) the slice lies from the middle ring."""
    return min(max(OFFSET_SD * float(scene.slip[0]), -MAX_OFFSET_MM), MAX_OFFSET_MM)


def _roll(scene: Scene) -> float:
    """How far (degrees) the patient lies turned clockwise in the image."""
    return ROLL_SD * min(max(float(scene.slip[1]), -2.5), 2.5)


def _dome(scene: Scene) -> list[float]:
    """How far (pixels, downwards) the liver's dome has moved in the second and third frame."""
    return [_DOME_SD * min(max(push, -2.5), 2.5) for push in scene.slip[2:].tolist()]


def paint(heart: Heart, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Draw the cine of one heart in one scene.

    Args:
        heart: from `geometry.realise`; scene: from `draw_scene`.
    Returns:
        cmr and segmentation as from `render`.
    Source: acquisition as in UK Biobank short-axis cine (Petersen et al. 2017); tissue contrast of
        bSSFP at 1.5 T.
    """
    z, u, cells = scene.z, scene.u, scene.cells
    cut = shown(heart, scene)
    colour = tissue.contrast(z[:8])
    grain = tissue.texture(cells[0], 0.05)
    frame, body = tissue.body(heart.bmi, colour, scene.chest, grain, _roll(scene))  # [210, 210]
    rim = 3.5 * math.exp(.35 * z[11])
    window = _window(cut, z[8:11], _roll(scene), 9 + 2 * rim)
    fields = _distances(cut, window)
    segmentation = np.zeros((3, SIZE, SIZE), np.uint8)
    segmentation[:, window.rows, window.columns] = _labels(*fields)
    frames = np.stack([frame] * 3)
    for moved, shift in zip(frames[1:], _dome(scene), strict=True):
        tissue.beat(moved, shift)
    _heart(frames[:, window.rows, window.columns], cut, fields, window, colour, rim, z[12:21], u)
    gain = tissue.coil(z[24:28]) * _banding(u, z[21:24])  # [210, 210]
    gain *= 1 + tissue.texture(cells[1], 0.02)
    seen = _hull(body, (window.rows, window.columns))  # without a signal beyond
    noise = quantiles() * _F(0.035 + 0.030 * u[0])  # [2^16]
    cine = np.empty((3, SIZE, SIZE), _F)
    for image, frame, (real, imaginary) in zip(cine, frames, scene.noise.swapaxes(0, 1),
                                               strict=True):
        signal = frame[seen] * gain[seen]  # a frame fits into the processor's cache
        _blur(signal, 0.6 + 0.2 * u[4])
        noise.take(real, out=image, mode="wrap")  # unchecked: every 16-bit number is a place
        image[seen] += signal
        _magnitude(image, noise.take(imaginary, mode="wrap"))
        image *= _F(0.70 + 0.12 * u[3])
        image.clip(0, 1, out=image)
    return cine, segmentation


class Cut(NamedTuple):
    """What the slice shows of a heart."""

    endo: np.ndarray  # [3 phases, 144] mm
    epi: np.ndarray  # [3 phases, 144] mm
    rv_ellipse: np.ndarray  # [3 phases, 3] mm, as in `Heart`


def shown(heart: Heart, scene: Scene) -> Cut:
    """The contours in the subject's slice; the RV keeps its ellipse beside a cut LV."""
    return Cut(*section(heart, slice_offset(scene)), heart.rv_ellipse)


def private_latents(scene: Scene) -> dict[str, float]:
    """Scene -> what belongs to the image alone, by name; units and meanings in `latents`."""
    z, u, chest = scene.z.tolist(), scene.u.tolist(), scene.chest.tolist()
    colour = tissue.contrast(scene.z[:8])
    named = {f"{name}_signal": value for name, value in zip(colour._fields, colour, strict=True)}
    named.update({name: mean + sd * chest[place]
                  for name, (place, mean, sd) in tissue.BODY.items()})
    for k in (0, 1):
        name = f"papillary_{k + 1}"
        named.update({f"{name}_angle": _PAPILLARIES[k] + 9 * z[15 + k],
                      f"{name}_depth": .62 + .05 * z[17 + k],
                      f"{name}_radius": 3.6 * math.exp(.18 * z[19 + k])})
    named.update({f"coil_{k + 1}": z[24 + k] for k in range(4)})
    named.update(
        slice_offset=slice_offset(scene), patient_roll=_roll(scene),
        heart_turn=_HEART_TURN_SD * min(max(z[8], -2.5), 2.5), heart_row=JITTER * z[9],
        heart_column=JITTER * z[10], fat_factor=math.exp(.35 * chest[0]),
        fat_rim=3.5 * math.exp(.35 * z[11]), trabecula_phase=3 * z[12],
        trabecula_height=.8 * math.exp(.3 * z[14]), trabecula_count=5.0 + int(3 * u[5]),
        flow_mid=.08 * u[1], flow_es=.15 * u[2], noise_level=.035 + .030 * u[0],
        blur=.6 + .2 * u[4], gain=.70 + .12 * u[3], banding=float(u[6] < .10),
        **dict(zip(("liver_shift_mid", "liver_shift_es"), _dome(scene), strict=True)))
    return named


def bounds(cut: Cut, degrees: float) -> tuple[float, float, float, float]:
    """How far LV and RV reach from the LV's axis at end-diastole.

    Args:
        cut: from `shown`; degrees: direction of the septum in the image, 0 to the left, 90 up.
    Returns:
        Pixels above, below, to the left and to the right of the axis.
    Source: extreme points of an ellipse, and of the epicardial contour.
    """
    turn = math.radians(degrees)
    up, left = math.sin(turn), math.cos(turn)  # of the direction towards the septum
    radius = cut.epi[0]
    rise = radius * (_COS * up - _SIN * left)
    drift = radius * (_COS * left + _SIN * up)  # to the left
    centre, along, across = cut.rv_ellipse[0]
    reach_up = math.hypot(across * up, along * left)
    reach_left = math.hypot(across * left, along * up)
    return tuple(value / PIXEL_MM for value in (
        max(rise.max(), centre * up + reach_up), max(-rise.min(), reach_up - centre * up),
        max(drift.max(), centre * left + reach_left),
        max(-drift.min(), reach_left - centre * left)))


class Window(NamedTuple):
    """The part of the image that holds the heart, at most [104, 104], and coordinates in it."""

    rows: slice
    columns: slice
    up: np.ndarray  # [h] mm above the LV's axis, falling
    leftwards: np.ndarray  # [w] mm to the left of the axis, falling
    turn: float  # radians, direction of the septum in the image, 0 to the left, positive upwards
    rho: np.ndarray  # [h, w] mm from the axis
    theta: np.ndarray  # [h, w] AHA angle, as an index into the contour tables
    across: np.ndarray  # [h, w] mm towards the septum
    along: np.ndarray  # [h, w] mm along the septum, towards the anterior wall


def _window(cut: Cut, z: np.ndarray, roll: float = 0.0, beyond: float = math.inf) -> Window:
    """Place the heart; only what is less than `beyond` mm from it in one of its phases."""
    degrees = 45.0 + _HEART_TURN_SD * min(max(z[0], -2.5), 2.5) + roll
    above, below, left, right = bounds(cut, degrees)
    y = _place(tissue.HEART_AT[0] + JITTER * z[1], above, below, BOX[0])  # middle of the heart
    x = _place(tissue.HEART_AT[1] + JITTER * z[2], left, right, BOX[1])
    top, first = round(y) - WINDOW // 2, round(x) - WINDOW // 2
    top, first = min(max(top, 0), SIZE - WINDOW), min(max(first, 0), SIZE - WINDOW)
    axis_y, axis_x = y + (above - below) / 2, x + (left - right) / 2
    up = (_F(axis_y - top) - _STEPS) * _F(PIXEL_MM)  # [104] mm
    leftwards = (_F(axis_x - first) - _STEPS) * _F(PIXEL_MM)  # [104] mm
    turn = math.radians(degrees)
    reach = _reach(cut, math.sin(turn), math.cos(turn))
    rows, columns = _near(up, reach[0], beyond), _near(leftwards, reach[1], beyond)
    up, leftwards = up[rows], leftwards[columns]
    sin, cos = _F(math.sin(turn)), _F(math.cos(turn))
    across = (up * sin)[:, None] + leftwards * cos  # [h, w]
    along = (up * cos)[:, None] - leftwards * sin
    rho = np.sqrt(across * across + along * along)
    theta = np.arctan2(across, along)  # AHA: 0 anterior, +90 septal
    index = ((theta + _F(math.pi)) * _F(_TABLE / (2 * math.pi)) + _F(0.5)).astype(np.intp)
    index[index >= _TABLE] -= _TABLE
    return Window(slice(top + rows.start, top + rows.stop),
                  slice(first + columns.start, first + columns.stop), up, leftwards, turn, rho,
                  index, across, along)


def _reach(cut: Cut, up: float, left: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The box (mm) that holds the heart in all phases: lowest and highest, right- and leftmost."""
    low = right = -float(cut.epi.max())
    high = leftmost = -low
    for centre, along, across in cut.rv_ellipse.tolist():
        tall, wide = math.hypot(across * up, along * left), math.hypot(across * left, along * up)
        low, high = min(low, centre * up - tall), max(high, centre * up + tall)
        right, leftmost = min(right, centre * left - wide), max(leftmost, centre * left + wide)
    return (low, high), (right, leftmost)


def _near(steps: np.ndarray, reach: tuple[float, float], beyond: float) -> slice:
    """Which of the falling steps (mm) are within `beyond` of a range; at least one."""
    start = int(np.count_nonzero(steps > reach[1] + beyond))
    return slice(start, max(int(np.count_nonzero(steps >= reach[0] - beyond)), start + 1))


def _place(wanted: float, before: float, after: float, box: tuple[float, float]) -> float:
    """Middle of the heart, moved into the box where the heart fits, else centred in it."""
    half = (before + after) / 2 + 1.0
    low, high = box[0] + half, box[1] - half
    return min(max(wanted, low), high) if low < high else (box[0] + box[1]) / 2


def _table(contour: np.ndarray) -> np.ndarray:
    """[..., 1440] float32: contours known at 144 angles, read at a quarter degree."""
    step = _TABLE // POINTS
    share = (np.arange(step) / step)[:, None]
    following = np.concatenate([contour[..., 1:], contour[..., :1]], axis=-1)
    fine = contour[..., None] + (following - contour)[..., None] * share[:, 0]
    return fine.reshape(*contour.shape[:-1], _TABLE).astype(_F)


def _distances(cut: Cut, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signed distances (mm, negative inside) to endocardium, epicardium, RV; each [3, h, w]."""
    endo = window.rho - _table(cut.endo).take(window.theta, axis=1)
    epi = window.rho - _table(cut.epi).take(window.theta, axis=1)
    centre, a, b = (cut.rv_ellipse[:, k].astype(_F)[:, None, None] for k in range(3))
    x, y = (window.across - centre) / b, window.along / a
    level = x * x + y * y
    x /= b
    y /= a
    slope = np.sqrt(x * x + y * y)
    slope += _F(1e-6)
    slope *= 2
    level -= 1
    level /= slope
    np.maximum(level, -window.across, out=level)  # never beyond the septal half-plane
    return endo, epi, level


def _labels(endo: np.ndarray, epi: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[3, h, w] uint8, decided at the pixels' centres."""
    labels = np.where(right < 0, np.uint8(RV_BLOOD), np.uint8(BACKGROUND))
    labels[epi < 0] = MUSCLE
    labels[endo < 0] = LV_BLOOD
    return labels


def _share(distance: np.ndarray, width: np.ndarray | np.float32) -> np.ndarray:
    """Share of a pixel inside an edge of the given width (mm)."""
    share: np.ndarray = distance * (-1 / width)
    share += _F(0.5)
    return share.clip(0, 1, out=share)


def _heart(part: np.ndarray, cut: Cut, fields: tuple, window: Window,
           colour: tissue.Contrast, rim: float, z: np.ndarray, u: np.ndarray) -> None:
    """Paint the heart into its window [3, h, w] of the three frames."""
    endo, epi, right = fields
    edge = _F(PIXEL_MM)
    outer = np.minimum(epi, right - _F(RV_WALL_MM)) - _F(rim)
    tissue.mix(part, _F(0.85 * colour.fat), _share(outer, _F(2.5)))
    tissue.mix(part, _F(colour.muscle), _share(right - _F(RV_WALL_MM), edge))
    tissue.mix(part, _F(colour.rv_blood), _share(right, _F(2.2)))
    left = _around(window, cut.epi, 1.0)
    tissue.mix(part[(..., *left)], _F(colour.muscle), _share(epi[(..., *left)], edge))
    cavity = _around(window, cut.endo, 2.0)
    rough = _trabeculae(z[:3], u).take(window.theta[cavity])  # [h, w] mm
    dark = np.array([0.0, 0.08 * u[1], 0.15 * u[2]], _F)[:, None, None]  # flow
    tissue.mix(part[(..., *cavity)], 1 - dark, _share(endo[(..., *cavity)] + rough, _WIDTH))
    for k, degrees in enumerate((_PAPILLARIES[0] + 9 * z[3], _PAPILLARIES[1] + 9 * z[4])):
        rows, columns, share = _papillary(cut, window, degrees, 0.62 + 0.05 * z[5 + k],
                                          3.6 * math.exp(0.18 * z[7 + k]))
        tissue.mix(part[:, rows, columns], _F(colour.papillary), _F(0.9) * share)


def _around(window: Window, contour: np.ndarray, beyond: float) -> tuple[slice, slice]:
    """Rows and columns of the window within `beyond` mm of a contour about the axis."""
    radius = float(contour.max())
    return (_near(window.up, (-radius, radius), beyond),
            _near(window.leftwards, (-radius, radius), beyond))


def _trabeculae(z: np.ndarray, u: np.ndarray) -> np.ndarray:
    """[1440] mm: how far small ridges reach into the cavity; mask and phenotypes ignore them."""
    order = 5 + int(3 * u[5])
    wave = np.sin(order * _RADIANS + 3 * z[0]) + 0.6 * np.sin((order + 2) * _RADIANS + 3 * z[1])
    return (0.8 * math.exp(0.3 * z[2]) * np.maximum(wave, 0)).astype(_F)


def _papillary(cut: Cut, window: Window, degrees: float, depth: float, radius: float
               ) -> tuple[slice, slice, np.ndarray]:
    """Rows and columns of the window that hold one papillary muscle, and its share of each pixel.

    Args:
        degrees: AHA angle; depth: distance from the axis over the cavity's radius; radius: mm.
    Returns:
        Two slices, and [3, h, w] float32, 0 outside them.
    """
    point = round((degrees + 180.0) * POINTS / 360.0) % POINTS
    distance = (cut.endo[:, point] * depth).astype(_F)  # [3] mm
    towards = window.turn + math.pi / 2 - math.radians(degrees)  # in the image, as `turn`
    rows, columns = (
        _near(steps, (float(reach.min()), float(reach.max())), radius + 2)  # mm, edge included
        for steps, reach in ((window.up, distance * math.sin(towards)),
                             (window.leftwards, distance * math.cos(towards))))
    rho, away = window.rho[rows, columns], _DEGREES.take(window.theta[rows, columns]) - degrees
    distance = distance[:, None, None]
    gap = rho * rho + distance * distance  # [3, h, w]
    gap -= 2 * distance * (rho * np.cos(np.radians(away)).astype(_F))
    np.maximum(gap, 0, out=gap)
    np.sqrt(gap, out=gap)
    gap -= _F(radius)
    return rows, columns, _share(gap, _F(2.0))


def _banding(u: np.ndarray, z: np.ndarray) -> np.ndarray | np.float32:
    """Dark arcs of off-resonance, in one subject of ten; [210, 210] or 1."""
    if u[6] >= 0.10:
        return _F(1)
    axis = np.arange(SIZE, dtype=_F)
    y, x = axis[:, None] - _F(230 + 20 * z[0]), axis - _F(160 + 40 * z[1])
    phase = np.sqrt(y * y + x * x) * _F(math.pi / 75) + _F(z[2])
    return 1 - _F(0.45) * np.exp(_F(-40) * np.sin(phase) ** 2)


def _blur(image: np.ndarray, sigma: float) -> None:
    """Point spread: a three-tap kernel of variance sigma^2 (pixels) along rows, then columns."""
    side = sigma * sigma / 2
    border = image[:, [0, -1]]
    _three_taps(image.reshape(-1), 1, side)  # as one long row, wrong at both ends of each row
    image[:, [0, -1]] = border
    _three_taps(image.reshape(-1), image.shape[1], side)


def _three_taps(values: np.ndarray, step: int, side: float) -> None:
    """Give each value but the ends `side` of those `step` before and after it, and the rest."""
    beside = values[2 * step:] + values[:-2 * step]
    beside *= _F(side)
    inner = values[step:-step]
    inner *= _F(1 - 2 * side)
    inner += beside


def _magnitude(real: np.ndarray, imaginary: np.ndarray) -> None:
    """Replace the real channel by the magnitude of both; the imaginary one is used up."""
    np.square(real, out=real)
    real += np.square(imaginary, out=imaginary)
    np.sqrt(real, out=real)


def _hull(first: tuple[slice, slice], second: tuple[slice, slice]) -> tuple[slice, slice]:
    """The smallest rows and columns that hold both."""
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop))
                     for a, b in zip(first, second, strict=True))
    return rows, columns
