"""Cases of ECG and CMR: cleaning, cine, training views.

Each maker takes a generator and returns component, configuration, given arrays and results.
"""

from __future__ import annotations

import numpy as np

from reference.conformance.vectors import representable
from tests.oracle import images, signals
from tests.oracle.drafts import Collection, Draft, Formula, normal, uniform

_CASES = Collection(first_seed=1200)
case, build = _CASES.case, _CASES.build


# ---- cleaning an ECG ----

CONDITION = {"float64": 1e-7}  # rounding 1e-16 times the condition number 16 lam / p = 5e8


def wandering(rng, *shape: int) -> np.ndarray:
    """A slow walk with faster waves on it, in mV."""
    walk = 0.05 * rng.standard_normal(shape).cumsum(axis=-1)
    return representable(walk + 0.2 * rng.standard_normal(shape))


def _baseline(signal, lam: float, p: float, iterations: int, tolerance=None) -> Draft:
    return Draft("asymmetric_least_squares", {"lam": lam, "p": p, "iterations": iterations},
                 {"in/signal": signal},
                 {"out/baseline": signals.asymmetric_least_squares(signal, lam, p, iterations)},
                 {"out/baseline": tolerance} if tolerance else {})


@case
def asymmetric_least_squares(rng):
    """Default: two walks and a constant."""
    signal = wandering(rng, 3, 50)
    signal[1] = 0.75
    return _baseline(signal, 1e7, 0.3, 5, CONDITION)


@case
def asymmetric_least_squares_soft(rng):
    """A baseline that follows the signal; an odd number of samples; mostly below."""
    return _baseline(wandering(rng, 2, 37), 100.0, 0.05, 8)


@case
def asymmetric_least_squares_above(rng):
    """More weight above than below."""
    return _baseline(wandering(rng, 4, 22), 10.0, 0.75, 3)


@case
def asymmetric_least_squares_once(rng):
    """One solve without re-weighting, of the shortest signals."""
    return _baseline(wandering(rng, 5, 3), 2.0, 0.3, 1)


@case
def asymmetric_least_squares_line(rng):
    """A straight line is its own baseline."""
    return _baseline(np.array([[0.25 * t - 1 for t in range(9)]]), 50.0, 0.3, 4)


def _normalise(rng, mode: str, V: int, T: int, ends: tuple[int, ...]) -> Draft:
    ecg = representable(normal(rng, V, T) * (1 + np.arange(V))[:, None] + 3)
    ecg[-1] = 2.0 if mode == "channel" else ecg[-1]
    return Draft("normalise", {"mode": mode}, {"in/ecg": ecg},
                 {"out/ecg": signals.normalise(ecg, ends)})


@case
def normalise(rng):
    """Default: lead groups I II III, aVR aVL aVF, V1..V6."""
    return _normalise(rng, "group", 12, 7, (3, 6, 12))


@case
def normalise_sample(rng):
    """All leads share mean and variance."""
    return _normalise(rng, "sample", 5, 6, (5,))


@case
def normalise_channel(rng):
    """Every lead its own; a constant lead becomes 0."""
    return _normalise(rng, "channel", 4, 9, (1, 2, 3, 4))


@case
def clean_ecg(rng):
    """An outlier beyond 4 standard deviations, missing samples, a group of constant leads."""
    ecg, missing = wandering(rng, 12, 41), uniform(rng, 12, 41) < 0.03
    ecg[1, 10], ecg[8, 30], ecg[3:6], missing[3:6] = 9.0, -7.5, 0.5, False
    return Draft("clean_ecg", {}, {"in/ecg": ecg, "in/missing": missing},
                 {"out/ecg": signals.clean_ecg(ecg, missing)}, {"out/ecg": CONDITION})


def _resample(rng, V: int, T: int, rate: int, to: int) -> Draft:
    ecg, missing = wandering(rng, V, T), uniform(rng, V, T) < 0.1
    missing[-1] = False
    missing[0, :2] = True
    return Draft("resample", {"rate": rate, "to": to}, {"in/ecg": ecg, "in/missing": missing},
                 {"out/ecg": signals.resample(ecg, missing, rate, to)})


@case
def resample_down(rng):
    """Half the rate; a record shorter than the filter."""
    return _resample(rng, 2, 60, 500, 250)


@case
def resample_up(rng):
    """25 : 18."""
    return _resample(rng, 3, 37, 360, 500)


# ---- views of an ECG ----

@case
def crop(rng):
    """Starts from uniform numbers, the first and the last one among them."""
    x, noise = normal(rng, 4, 3, 10), np.array([0.0, 0.999, 0.5, 0.3])
    noise = np.floor(noise * 2**20) / 2**20
    start = signals.random_start(noise, 10, 7)
    return Draft("crop", {"length": 7}, {"in/x": x, "noise/start": noise},
                 {"mid/start": start, "out/x": signals.crop(x, start, 7)})


def _surrogate(rng, B: int, V: int, T: int, magnitude: float) -> Draft:
    x, noise = normal(rng, B, V, T), uniform(rng, B, (T - 1) // 2)
    return Draft("fourier_surrogate", {"magnitude": magnitude},
                 {"in/x": x, "noise/uniform": noise},
                 {"out/x": signals.fourier_surrogate(x, magnitude, noise)})


@case
def fourier_surrogate(rng):
    """Even number of samples: the Nyquist frequency stays."""
    return _surrogate(rng, 2, 3, 20, 0.1)


@case
def fourier_surrogate_odd(rng):
    """Odd number of samples, full magnitude."""
    return _surrogate(rng, 3, 2, 15, 1.0)


@case
def jitter(rng):
    """Multiplicative noise."""
    x, noise = normal(rng, 2, 3, 5), normal(rng, 2, 3, 5)
    return Draft("jitter", {"sigma": 0.25}, {"in/x": x, "noise/normal": noise},
                 {"out/x": signals.jitter(x, 0.25, noise)})


@case
def rescale(rng):
    """One factor a record."""
    x, noise = normal(rng, 4, 2, 3), normal(rng, 4)
    return Draft("rescale", {"sigma": 0.5}, {"in/x": x, "noise/normal": noise},
                 {"out/x": signals.rescale(x, 0.5, noise)})


# ---- CMR ----

SINGLE = {"float64": 1e-7}  # the image of a cine is float32 by contract


def _cine(cine, ed: int, es: int, order: str, every: int = 1) -> Draft:
    values = cine.value() if isinstance(cine, Formula) else cine
    image = images.prepare_cine(values, ed, es, order)
    return Draft("prepare_cine", {"ed": ed, "es": es, "channel_order": order}, {"in/cine": cine},
                 {"out/image": image}, {"out/image": SINGLE},
                 {"out/image": every} if every > 1 else {})


@case
def prepare_cine(rng):
    """A small cine in the middle of a black square; half-way over the last frame."""
    return _cine(np.round(uniform(rng, 9, 12, 8, 7) * 255), 5, 2, "ed-mid-es")


@case
def prepare_cine_large(rng):
    """A large cine, cropped in one axis, filled up in the other; the other order."""
    return _cine(Formula((215, 207, 9, 3), 7, 40.0, 100.0), 0, 2, "es-mid-ed", every=97)


@case
def prepare_cine_constant(rng):
    """Nothing to see: black."""
    return _cine(np.full((2, 3, 8, 4), 7.0), 0, 3, "ed-mid-es", every=1009)


@case
def heart_box(rng):
    """The fixed box."""
    image = Formula((1, 2, 210, 210), 11, 0.2, 0.5)
    return Draft("heart_box", {}, {"in/image": image},
                 {"out/image": images.heart_box(image.value())}, every={"out/image": 17})


def _resize(rng, h: int, w: int, size: int) -> Draft:
    image = uniform(rng, 2, 3, h, w)
    return Draft("resize", {"size": size}, {"in/image": image},
                 {"out/image": images.resize(image, size)})


@case
def resize(rng):
    """Larger."""
    return _resize(rng, 5, 4, 8)


@case
def resize_smaller(rng):
    """Smaller, with anti-aliasing."""
    return _resize(rng, 9, 13, 5)


VIEW = {"rate": 0.95, "flip": 0.5, "rotation": 45.0, "rotation_rate": 0.5, "brightness": 0.5,
        "contrast": 0.5, "saturation": 0.25, "scale": [0.6, 1.0], "ratio": [0.75, 1.25]}
NOISE = ("apply", "flip", "rotate", "angle", "brightness", "contrast", "saturation", "area",
         "ratio", "row", "column")


def image_noise(rng, B: int) -> dict[str, np.ndarray]:
    """Uniform numbers by name; flips, turns and views that stay plain take turns."""
    noise = {name: uniform(rng, B) for name in NOISE}
    noise["apply"][-1] = 0.96875
    noise["flip"], noise["rotate"] = np.arange(B) % 2 * 0.75, np.arange(B) % 3 * 0.375
    return noise


@case
def colour_jitter(rng):
    """Brightness, contrast, saturation, each clipped."""
    image, noise = uniform(rng, 4, 3, 6, 5), image_noise(rng, 4)
    noise["brightness"][0], noise["contrast"][1], noise["saturation"][2] = 0.96875, 0.9375, 0.03125
    return Draft("colour_jitter", {"view": VIEW},
                 {"in/image": image, **{f"noise/{name}": u for name, u in noise.items()}},
                 {"out/image": images.colour_jitter(image, noise, VIEW)})


@case
def cmr_view(rng):
    """Flip, rotation and resized crop in one resampling, then colours; the last image is plain."""
    image, noise = uniform(rng, 5, 3, 8, 9), image_noise(rng, 5)
    noise["flip"][1] = noise["rotate"][2] = 0.5  # equal is not below
    noise["area"][:2], noise["ratio"][:2] = 0.96875, (0.03125, 0.96875)  # as high, as wide
    return Draft("cmr_view", {"view": VIEW, "size": 7},
                 {"in/image": image, **{f"noise/{name}": u for name, u in noise.items()}},
                 {"mid/affine": images.affine(noise, VIEW),
                  "out/image": images.cmr_view(image, noise, VIEW, 7)})


# ---- a whole view of an ECG ----

@case
def ecg_view(rng):
    """All steps; each of them left out for some records."""
    B, V, T, n = 6, 2, 20, 13
    view = {"surrogate": 0.1, "surrogate_rate": 0.75, "jitter": 0.25, "rescale": 0.5,
            "rate": 0.9375, "time_flip": 0.5, "sign_flip": 0.25}
    x = normal(rng, B, V, T)
    noise = {"start": uniform(rng, B), "apply": uniform(rng, B) / 2, "phase": uniform(rng, B, 6),
             "surrogate": uniform(rng, B), "jitter": normal(rng, B, V, n),
             "rescale": normal(rng, B), "time_flip": uniform(rng, B), "sign_flip": uniform(rng, B)}
    noise["apply"][2], noise["surrogate"][:2] = 0.96875, (0.8125, 0.75)  # equal is not below
    noise["time_flip"][3:], noise["sign_flip"][3:] = (0.25, 0.5, 0.75), (0.125, 0.0, 0.25)
    return Draft("ecg_view", {"view": view, "length": n},
                 {"in/x": x, **{f"noise/{name}": value for name, value in noise.items()}},
                 signals.ecg_view(x, noise, view, n))
