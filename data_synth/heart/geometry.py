"""The heart's shape and motion in closed form: every phenotype and every pixel comes from here.

Cavity at ED: half-ellipsoid with short half-axis R and long half-axis L = lr R, u = z / L:

    LVEDV = 2/3 pi R^2 L        r(theta, u) = R sqrt(1 - u^2) e(theta)        mean of e^2 = 1
    LVM   = 1.05 V_wall         V_wall = 2/3 pi [(R + h)^2 (L + .6 h) - R^2 L]   -> h
    H(theta, u) = kappa gap(u) sum_i w_i(u) T_i(theta) / gap(u_i)        -> kappa: same V_wall

Motion to the fraction f of systole (f = 1 at ES), with longitudinal strain ELL:

    r_f = r (1 - f s0 G),       G(theta, u) = sum_i w_i(u) g_i(theta),      length L (1 + f ELL)
    epi_f^2 = r_f^2 + (epi^2 - r^2) / (1 + f ELL)            no volume of muscle is lost, anywhere
    LVESV = LVEDV (1 + ELL) mean[e^2 (1 - 2 s0 sum b_i g_i + s0^2 sum M_ij g_i g_j)]

which is quadratic in s0: the ejection fraction always follows from the wall's motion.

RV: an ellipse beside the septum (half-axes a along it, b across), less the LV; b from the area
RV volume / (.75 L_RV) in each phase.

Glossary: z depth from the base; theta angle (AHA convention, see segments.py); rings i = 0, 1, 2
at u = .2, .45, .75; w_i hat functions; e roundness; T_i regional thickness (mm); g_i regional
contraction (about 1, lower in scar); s0 endocardial shortening; gap ellipsoid wall thickness;
b_i, M_ij integrals of w_i, w_i w_j over the cavity, as shares of its volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_synth.heart.segments import ANGLES, POINTS, aha_segment

DENSITY = 1.05  # g/ml, myocardium
RINGS = (0.20, 0.45, 0.75)  # depth of the three rings, as a fraction of the cavity's length
FRACTIONS = (0.0, 0.55, 1.0)  # of the systolic motion, in the frames ED, mid and ES
RESIDUALS = 4 * 7  # (shared + three rings) x (constant + three harmonics)
ANATOMY = (  # what `Heart.anatomy` holds
    "long_short_ratio", "oval_cos", "oval_sin", "rv_length_factor", "rv_along_factor",
    "rv_centre_factor", "contraction_gradient", *(f"wall_residual_{k}" for k in range(1, 17)),
    *(f"contraction_residual_{k}" for k in range(1, 17)))
_RANGES = {
    "lvedv_target": (20.0, 900.0), "lvm_target": (10.0, 900.0), "ef_target": (1.0, 95.0),
    "longitudinal_strain": (-0.4, 0.0), "rv_sv_ratio": (0.2, 3.0), "rv_ef_target": (5.0, 95.0),
    "scar_size": (0.0, 100.0), "scar_territory": (0, 3), "scar_transmurality": (0.0, 1.0),
    "lbbb": (0.0, 1.0), "bmi": (8.0, 90.0),
}
LATENTS = tuple(_RANGES)

_OFFSETS_MM = (-.2, .8, .8, .2, -.3, -.4, -.3, .4, .6, .0, -.4, -.4, -.1, .2, -.1, -.3)
_REFERENCE_MM = 5.7  # mean thickness to which the offsets refer; both scale together
_THICKNESS_SD = 0.35 / _REFERENCE_MM  # residual of regional thickness, relative
_CONTRACTION_SD = 0.20  # residual of regional shortening, relative
_RING_CONTRACTION = np.array([0.97, 1.0, 1.14])[:, None]  # more towards the apex
_GRADIENT_SD = 0.03  # spread of that gradient between people
_OVAL_SD = 0.02  # of the cavity's radius
_LATERAL_GAIN = 0.055  # lateral wall moves more than the septum
_HARMONIC_SD = np.sqrt([.25, .30, .30, .06, .06, .015, .015])  # neighbours' correlation near .5
_SCAR_SIGMA = 18.0  # degrees, width of the scar's edge
_MAX_SHORTENING = 0.85  # of the endocardial radius, anywhere

_TERRITORIES = {  # centre (degrees) and relative width in each ring
    1: ((30.0, 30.0, 30.0), (0.7, 1.0, 1.3)),  # LAD: segments 1, 2, 7, 8, 13, 14
    2: ((-90.0, -90.0, -90.0), (1.0, 1.1, 0.9)),  # LCx: 5, 6, 11, 12, 16
    3: ((150.0, 150.0, 165.0), (1.2, 1.0, 0.8)),  # RCA: 3, 4, 9, 10, 15
}


@dataclass(frozen=True)
class Heart:
    """One heart: three rings (base, middle, apex) in three phases (ED, mid, ES).

    endo, epi: [3 phases, 3 rings, 144] mm, distance from the ring's axis at `segments.ANGLES`.
    scar: [3 rings, 144], 0 healthy .. 1 fully scarred.
    lv_volumes, rv_volumes: [3 phases] ml; lv_mass: g.
    rv_ellipse: [3 phases, 3] mm: centre beyond the axis towards the septum, a along it, b across.
    rv_areas: [3 phases] mm2, blood of the RV in the middle ring.
    length: mm, L at ED; radius: mm, R at ED; longitudinal_strain: ELL; shortening: s0.
    contraction: [3 rings, 144], g; bmi: kg/m2, for the fat of the chest wall.
    anatomy: [39], named by `ANATOMY`: the subject's own shape, drawn apart from all physiology;
    residuals are means over the AHA segments, relative, before mass and ejection are met.
    """

    endo: np.ndarray
    epi: np.ndarray
    scar: np.ndarray
    contraction: np.ndarray
    lv_volumes: np.ndarray
    rv_volumes: np.ndarray
    lv_mass: float
    rv_ellipse: np.ndarray
    rv_areas: np.ndarray
    length: float
    radius: float
    longitudinal_strain: float
    shortening: float
    bmi: float
    anatomy: np.ndarray


def realise(latents: dict[str, float], rng_anatomy: np.random.Generator) -> Heart:
    """Build the heart that has the volumes, mass and motion asked for.

    LVEDV, LVM and the RV volumes are met exactly. LVEF is met through s0 unless that would need
    more shortening than a wall can do, or less than none: then it is the nearest possible.

    Args:
        latents: at least `LATENTS`; ml, g, %, fractions, kg/m2.
        rng_anatomy: the subject's own anatomy; the count of numbers drawn is always the same.
    Returns:
        The heart.
    Raises:
        ValueError: a latent is missing, not finite, or out of its range.
    Source: mass and motion as in MacIver et al. 2017 (PMC5497228); regional thickness after Kawel
        et al. 2012 (PMC3412148); strain gradients after PMC 25223588.
    """
    _check(latents)
    z = rng_anatomy.standard_normal(7 + 2 * RESIDUALS)
    shape, z_wall, z_motion = z[:7], z[7:7 + RESIDUALS], z[7 + RESIDUALS:]
    form = _form(shape)  # [7]
    lr = form[0]
    radius = (1500.0 * latents["lvedv_target"] / (math.pi * lr)) ** (1 / 3)  # mm
    length = lr * radius
    roundness = _roundness(form[1], form[2])  # [144]
    thicker = _residual(z_wall, _THICKNESS_SD)  # [3, 144]
    stronger = _residual(z_motion, _CONTRACTION_SD) + form[6] * _TOWARDS_APEX  # [3, 144]
    scar = scar_field(latents["scar_size"], int(latents["scar_territory"]),
                      latents["scar_transmurality"])  # [3, 144]
    wall, mass = _wall(latents, radius, length, roundness, scar, thicker)  # [3, 144]
    contraction = _contraction(latents, scar, stronger)  # [3, 144]
    strain = latents["longitudinal_strain"]
    moments = _moments(roundness, contraction)
    shortening = _shortening(moments, contraction, latents["ef_target"] / 100, strain)
    endo, epi = _move(radius * roundness * _RING_RADIUS, wall, _motion(
        shortening * contraction, latents["lbbb"]), strain)
    lv_volumes = _lv_volumes(latents["lvedv_target"], roundness, contraction, shortening,
                             strain, latents["lbbb"])
    rv_volumes, rv_areas, ellipse = _right_ventricle(latents, lv_volumes, epi[:, 1], length, form)
    anatomy = np.concatenate([form, _SEGMENTS @ thicker.ravel(), _SEGMENTS @ stronger.ravel()])
    return Heart(endo, epi, scar, contraction, lv_volumes, rv_volumes, mass, ellipse, rv_areas,
                 length, radius, strain, shortening, float(latents["bmi"]), anatomy)


def scar_field(size: float, territory: int, transmurality: float) -> np.ndarray:
    """Where the wall is scarred.

    Args:
        size: % of the left ventricle; territory: 0 none, 1 LAD, 2 LCx, 3 RCA;
        transmurality: 0..1, depth of the scar as a fraction of the wall.
    Returns:
        [3 rings, 144], 0..1: a sector in each ring with edges of a Gaussian blur of 18 degrees.
    Source: AHA 17-segment model, coronary territories.
    """
    if not territory or size <= 0:
        return np.zeros((3, POINTS))
    centre, weight = (np.array(values)[:, None] for values in _TERRITORIES[territory])
    surface = min(size / 100 / max(transmurality, 0.3), 0.45)  # fraction of the wall's surface
    half_width = 180.0 * surface * weight
    away = np.abs((ANGLES - centre + 180.0) % 360.0 - 180.0)  # [3, 144]
    slope = 1.702 / _SCAR_SIGMA  # logistic close to the normal distribution function
    return 1 / (1 + np.exp(slope * (away - half_width))) - 1 / (
        1 + np.exp(slope * (away + half_width)))


def _check(latents: dict[str, float]) -> None:
    missing = [name for name in LATENTS if name not in latents]
    if missing:
        raise ValueError(f"latents lack {', '.join(missing)}, but should have {', '.join(LATENTS)}")
    for name in LATENTS:
        low, high = _RANGES[name]
        if not low <= latents[name] <= high:
            raise ValueError(f"{name}={latents[name]}, but should be in {low}..{high}")


# ---- constants of the grid -----------------------------------------------------------------------

_THETA = np.radians(ANGLES)
_HARMONICS = np.stack([np.ones(POINTS)] + [
    wave(m * _THETA) * math.sqrt(2) for m in (1, 2, 3) for wave in (np.cos, np.sin)])  # [7, 144]
_RING_RADIUS = np.sqrt(1 - np.array(RINGS) ** 2)[:, None]  # [3, 1], of R


def _hats(u: np.ndarray) -> np.ndarray:
    """[3, K]: linear interpolation between the rings, constant beyond the first and the last."""
    return np.stack([np.interp(u, RINGS, row) for row in np.eye(3)])


def _gauss(low: float, high: float, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    node, weight = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (node + 1) / 2, weight * (high - low) / 2


def _cavity_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights over 0 < u < 1, split at the rings; u = 1 - .25 t^2 tames the apex."""
    parts = [_gauss(low, high) for low, high in zip((0.0, *RINGS[:2]), RINGS, strict=True)]
    t, weight = _gauss(0.0, 1.0)
    parts.append((1 - (1 - RINGS[2]) * t**2, weight * 2 * (1 - RINGS[2]) * t))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


_U, _DU = _cavity_nodes()  # [32]
_HAT = _hats(_U)  # [3, 32]
_CAP_T, _CAP_DT = _gauss(0.0, 1.0)
_ALL_HATS = np.concatenate([_HAT, np.tile([[0.0], [0.0], [1.0]], (1, _CAP_T.size))], axis=1)
_PAIRS = _ALL_HATS[:, None] * _ALL_HATS[None]  # [3, 3, 40]
_CAVITY = _DU * (1 - _U**2)  # [32], sums to 2/3
_B = 1.5 * _HAT @ _CAVITY  # [3], b_i: integral of (1 - u^2) w_i over that of (1 - u^2)
_M = 1.5 * np.einsum("ik,jk,k->ij", _HAT, _HAT, _CAVITY)  # [3, 3]
_ROOT_U = np.sqrt(1 - _U**2)
_CAP_ROOT = np.concatenate([_ROOT_U, np.zeros(_CAP_T.size)])  # [40], no cavity in the cap


def _offset_field() -> np.ndarray:
    """[3, 144] mm: the smoothest harmonics up to order 3 whose segment means are the offsets."""
    field = np.zeros((3, POINTS))
    stiffness = np.repeat([1.0, 1.0, 2.0, 4.0], [1, 2, 2, 2])
    for ring in range(3):
        segment = aha_segment(ANGLES + 1e-6, ring)
        numbers = np.unique(segment)
        means = np.stack([_HARMONICS[:, segment == n].mean(axis=1) for n in numbers])  # [S, 7]
        wanted = np.array([_OFFSETS_MM[n - 1] for n in numbers])
        weights = np.linalg.lstsq(means / stiffness, wanted, rcond=None)[0] / stiffness
        field[ring] = weights @ _HARMONICS
    return field


_OFFSET = _offset_field()
_SEPTAL = np.sin(_THETA)  # 1 at the septum, -1 at the lateral wall
_TOWARDS_APEX = np.array([-1.0, 0.0, 1.0])[:, None]  # of the rings
_DYSSYNCHRONY = np.exp(-0.5 * ((np.abs(ANGLES - 90.0) + 180.0) % 360.0 - 180.0) ** 2 / 40.0**2)


def _segment_means() -> np.ndarray:
    """[16, 3 * 144]: rows average a field of the rings over each AHA segment."""
    number = np.concatenate([aha_segment(ANGLES + 1e-6, ring) for ring in range(3)])
    member = (number == np.arange(1, 17)[:, None]).astype(float)
    return member / member.sum(axis=1, keepdims=True)


_SEGMENTS = _segment_means()


# ---- left ventricle ------------------------------------------------------------------------------

def _form(z: np.ndarray) -> np.ndarray:
    """[7] the first entries of `ANATOMY` from seven standard normal numbers."""
    ratio = min(max(3.2 + 0.12 * z[0], 2.8), 3.6)
    factors = (min(max(1 + sd * value, low), 2 - low)
               for value, sd, low in zip(z[3:6], (.05, .05, .06), (.8, .8, .85), strict=True))
    return np.array([ratio, _OVAL_SD * z[1], _OVAL_SD * z[2], *factors, _GRADIENT_SD * z[6]])


def _roundness(cos: float, sin: float) -> np.ndarray:
    """[144]: a slightly oval cavity of unchanged area."""
    field = 1 + cos * np.cos(2 * _THETA) + sin * np.sin(2 * _THETA)
    return field / math.sqrt(float(np.mean(field**2)))


def _residual(z: np.ndarray, sd: float) -> np.ndarray:
    """[3, 144]: smooth random field; rings correlate .5 with each other."""
    z = z.reshape(4, 7)
    mixed = math.sqrt(0.5) * (z[:1] + z[1:])  # [3, 7]
    return sd * ((mixed * _HARMONIC_SD) @ _HARMONICS)


def _ellipsoid_wall(volume: float, radius: float, length: float) -> float:
    """Thickness h (mm) with (R + h)^2 (L + .6 h) - R^2 L = 3 V_wall / (2 pi), by Newton."""
    target = 1.5 * volume / math.pi
    h = target / (2 * radius * length + 0.6 * radius**2)  # beyond the root; convex
    for _ in range(8):
        value = (radius + h) ** 2 * (length + 0.6 * h) - radius**2 * length - target
        h -= value / (2 * (radius + h) * (length + 0.6 * h) + 0.6 * (radius + h) ** 2)
    return h


def _wall(latents: dict[str, float], radius: float, length: float, roundness: np.ndarray,
          scar: np.ndarray, thicker: np.ndarray) -> tuple[np.ndarray, float]:
    """Thickness of the rings at ED, [3, 144] mm, and the mass (g) of the wall they define."""
    volume = 1000 * latents["lvm_target"] / DENSITY  # mm3
    h = _ellipsoid_wall(volume, radius, length)
    end = 1 + 0.6 * h / length  # of the outer ellipsoid, in u
    cap = end - (end - 1) * _CAP_T**2
    weight = np.concatenate([_DU, 2 * (end - 1) * _CAP_T * _CAP_DT])  # [40]
    outer = np.sqrt(1 - (np.concatenate([_U, cap]) / end) ** 2)
    inner = radius * _CAP_ROOT
    gap = (radius + h) * outer - inner  # [40]
    at_rings = (radius + h) * np.sqrt(1 - (np.array(RINGS) / end) ** 2)[:, None] - (
        radius * _RING_RADIUS)  # [3, 1]
    relative = 1 + _OFFSET / _REFERENCE_MM + thicker
    thinning = 1 - 0.35 * latents["scar_transmurality"] * scar
    tau = np.maximum(relative, 0.4) * thinning / at_rings  # [3, 144], thickness over gap, unscaled
    linear = float((_ALL_HATS @ (weight * inner * gap)) @ (tau @ roundness)) / POINTS
    pairs = _PAIRS @ (weight * gap**2)  # [3, 3]
    square = float(np.sum(pairs * (tau @ tau.T))) / POINTS
    wanted = volume / (math.pi * length)
    kappa = wanted / (linear + math.sqrt(linear**2 + square * wanted))
    mass = DENSITY * math.pi * length * (2 * kappa * linear + kappa**2 * square) / 1000
    return kappa * tau * at_rings, mass


def _contraction(latents: dict[str, float], scar: np.ndarray, stronger: np.ndarray) -> np.ndarray:
    """g of the rings, [3, 144]: about 1; scar hardly moves, a left block slows the septum."""
    loss = min(0.35 + 0.75 * latents["scar_transmurality"], 1.2)
    healthy = _RING_CONTRACTION * (1 - _LATERAL_GAIN * _SEPTAL) + stronger
    block = 1 - 0.45 * latents["lbbb"] * _DYSSYNCHRONY
    return np.maximum(healthy, 0.3) * block * (1 - loss * scar)


def _moments(roundness: np.ndarray, motion: np.ndarray) -> tuple[float, float]:
    """First and second moment of the motion field over the cavity: mean e^2 G and mean e^2 G^2."""
    weighted = motion * roundness**2  # [3, 144]
    first = float(_B @ weighted.mean(axis=1))
    second = float(np.sum(_M * (weighted @ motion.T))) / POINTS
    return first, second


def _shortening(moments: tuple[float, float], contraction: np.ndarray, ef: float,
                strain: float) -> float:
    """s0 for the ejection fraction: smaller root of C s^2 - 2 B s + 1 = (1 - EF) / (1 + ELL)."""
    first, second = moments
    needed = 1 - (1 - ef) / (1 + strain)
    root = (first - math.sqrt(max(first**2 - second * needed, 0.0))) / second
    return min(max(root, 0.0), _MAX_SHORTENING / float(contraction.max()))


def _motion(shortening: np.ndarray, lbbb: float) -> np.ndarray:
    """[3 phases, 3 rings, 144]: shortening so far; a left block moves the septum early."""
    half = FRACTIONS[1] * (1 + 0.25 * lbbb * _SEPTAL)
    return np.stack([np.zeros_like(shortening), half * shortening, shortening])


def _move(endo: np.ndarray, wall: np.ndarray, motion: np.ndarray,
          strain: float) -> tuple[np.ndarray, np.ndarray]:
    """Contours of the incompressible rings in each phase, both [3 phases, 3 rings, 144] mm."""
    section = (endo + wall) ** 2 - endo**2
    moved = endo * (1 - motion)
    stretch = 1 + np.array(FRACTIONS)[:, None, None] * strain
    return moved, np.sqrt(moved**2 + section / stretch)


def _lv_volumes(edv: float, roundness: np.ndarray, contraction: np.ndarray, shortening: float,
                strain: float, lbbb: float) -> np.ndarray:
    """[3] ml: the cavity in each phase, integrated over the motion field."""
    motion = _motion(shortening * contraction, lbbb)
    volumes = [edv]
    for fraction, field in zip(FRACTIONS[1:], motion[1:], strict=True):
        first, second = _moments(roundness, field)
        volumes.append(edv * (1 + fraction * strain) * (1 - 2 * first + second))
    return np.array(volumes)


# ---- right ventricle -----------------------------------------------------------------------------

_SIDE = np.abs(ANGLES - 90.0) < 90.0  # half-plane of the septum; the RV never leaves it
_SIDE_COS, _SIDE_SIN = _SEPTAL[_SIDE], np.cos(_THETA)[_SIDE]  # across and along the septum


def _right_ventricle(latents: dict[str, float], left: np.ndarray, epi: np.ndarray, length: float,
                     form: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Volumes (ml) and areas (mm2) of the three phases, and the ellipse [3, 3] (mm)."""
    stroke = (left[0] - left[2]) * latents["rv_sv_ratio"]
    end_diastole = stroke / (latents["rv_ef_target"] / 100)
    ejected = (left[0] - left[1]) / (left[0] - left[2])
    volumes = end_diastole - stroke * np.array([0.0, ejected, 1.0])
    rv_length = length * 0.95 * form[3]
    stretch = 1 + np.array(FRACTIONS) * latents["longitudinal_strain"]
    areas = 1000 * volumes / (0.75 * rv_length * stretch)
    outer = epi.mean(axis=1)  # [3]
    along = 1.40 * outer * form[4]
    centre = 0.80 * outer * form[5]
    across = _fit_across(areas, centre, along, epi[:, _SIDE])
    return volumes, areas, np.stack([centre, along, across], axis=1)


def crescent_area(centre: np.ndarray, along: np.ndarray, across: np.ndarray,
                  epi: np.ndarray) -> np.ndarray:
    """Area of an ellipse on the septal side, less the left ventricle.

    Args:
        centre, along, across: [P, 1] mm, place and half-axes of the ellipse.
        epi: [P, S] mm, outer contour of the left ventricle at the septal angles.
    Returns:
        [P] mm2.
    Source: ray through the ellipse, in polar coordinates about the left ventricle's axis.
    """
    a = (_SIDE_COS / across) ** 2 + (_SIDE_SIN / along) ** 2  # [P, S]
    b = centre / across**2 * _SIDE_COS
    root = np.sqrt(np.maximum(b * b - a * ((centre / across) ** 2 - 1), 0.0))
    near = np.maximum((b - root) / a, epi)
    far = (b + root) / a
    return np.pi / POINTS * np.maximum(far * far - near * near, 0.0).sum(axis=1)


def _fit_across(areas: np.ndarray, centre: np.ndarray, along: np.ndarray,
                epi: np.ndarray) -> np.ndarray:
    """[P] mm: half-axis across the septum that gives each area, by the secant method."""
    centre, along = centre[:, None], along[:, None]
    old = centre * 0.8
    new = old * 1.3
    error_old = crescent_area(centre, along, old, epi) - areas
    for _ in range(12):
        error = crescent_area(centre, along, new, epi) - areas
        if (np.abs(error) < 1e-6 * areas).all():
            break
        slope = (error - error_old)[:, None] / np.where(new == old, 1.0, new - old)
        step = error[:, None] / np.where(slope > 0, slope, along)
        old, error_old, new = new, error, np.maximum(new - step, 0.3 * new)
    return new[:, 0]
