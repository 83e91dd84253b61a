"""Training views: parity of the surrogate, spectra by loops, geometry by hand, rates, seeds."""

from __future__ import annotations

import cmath
import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given

from reference import augmentation as aug
from reference.views import CONTRASTIVE_ECG, CROP_ONLY, MDM_ECG, CMRView, ECGView
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    authors,
    larger_golden,
)
from tests.support.strategies import seeds, sizes


def normal(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def uniforms(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).random(shape))


# --- time crop


def test_crop_equals_its_loops():
    x, start = normal(3, 2, 10), [0, 4, 6]
    want = np.array([[[x[b, v, start[b] + t] for t in range(4)] for v in range(2)]
                     for b in range(3)])
    assert_equal("crop", aug.crop(x, torch.tensor(start), 4), want)


@pytest.mark.parametrize("start, length, words", [
    ([0, 7], 4, r"\[0, 6\] for 4 of 10 samples, got \[0, 7\]"), ([-1, 3], 4, r"got \[-1, 3\]"),
    ([0, 0], 11, "for 11 of 10 samples")])
def test_crop_refuses(start, length, words):
    with pytest.raises(ValueError, match=words):
        aug.crop(normal(2, 1, 10), torch.tensor(start), length)


def test_random_start_draws_every_start_equally_often():
    grid = (torch.arange(700) + 0.5) / 700
    assert_equal("starts", np.bincount(aug.random_start(grid, 10, 4).numpy()), np.full(7, 100))
    edge = torch.tensor([0.0, 1 - 2**-24])  # the largest float32 below 1
    assert_equal("ends", aug.random_start(edge, 5000, 2500), [0, 2500])
    assert_equal("no choice", aug.random_start(edge, 10, 10), [0, 0])
    assert_equal("rounded up to 1", aug.random_start(torch.ones(1), 10, 4), [6])


# --- Fourier surrogate


@pytest.mark.parametrize("T", [200, 199])
def test_fourier_surrogate_portable(T):
    x = torch.tensor(np.random.default_rng(1).standard_normal((2, 1, 12, 200)),
                     dtype=torch.float32)[0, :, :, :T]
    uniform = torch.tensor(np.random.default_rng(7).random((T - 1) // 2))
    got = aug.fourier_surrogate(x, 0.1, uniform)
    assert_parity(f"Fourier surrogate T={T}", got, authors("fourier_surrogate")[f"T{T}"], 1e-5,
                  "portable")


@pytest.mark.parametrize("kind, T", [("even", 2500), ("odd", 2499)])
def test_fourier_surrogate_larger(kind, T):
    golden = larger_golden("ft_surrogate")
    x, uniform = torch.tensor(golden["input"])[..., :T], torch.tensor(golden[f"uniform_{kind}"])
    got = aug.fourier_surrogate(x, float(golden["phase_noise_magnitude"]), uniform)
    assert_parity(f"Fourier surrogate T={T}", got, golden[f"output_{kind}"], 1e-5, "larger set")


def surrogate_oracle(row: np.ndarray, magnitude: float, uniform: np.ndarray) -> np.ndarray:
    """Complex transform by its sum; frequency k and its mirror T - k turn oppositely."""
    T = len(row)
    spectrum = [sum(row[t] * cmath.exp(-2j * math.pi * k * t / T) for t in range(T))
                for k in range(T)]
    for k in range(1, (T - 1) // 2 + 1):
        turn = cmath.exp(2j * math.pi * magnitude * uniform[k - 1])
        spectrum[k] *= turn
        spectrum[T - k] *= turn.conjugate()
    return np.array([sum(spectrum[k] * cmath.exp(2j * math.pi * k * t / T) for k in range(T)).real
                     / T for t in range(T)])


@pytest.mark.parametrize("T", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("magnitude", [0.1, 1.0])
def test_fourier_surrogate_equals_its_loops(T, magnitude):
    x, uniform = normal(2, 3, T), uniforms(2, (T - 1) // 2)
    want = [[surrogate_oracle(x[b, v].numpy(), magnitude, uniform[b].numpy()) for v in range(3)]
            for b in range(2)]
    got = aug.fourier_surrogate(x, magnitude, uniform)
    assert_shape("surrogate", got, (2, 3, T))
    assert_close("surrogate", got, want, atol=1e-12)


@given(seeds(), sizes(2))
def test_fourier_surrogate_keeps_amplitudes_and_the_phase_between_leads(seed, T):
    x, uniform = normal(2, 3, T, seed=seed), uniforms(2, (T - 1) // 2, seed=seed)
    before, after = torch.fft.rfft(x), torch.fft.rfft(aug.fourier_surrogate(x, 0.7, uniform))
    assert_close("amplitude", after.abs(), before.abs(), atol=1e-10)
    for k in [0] + [T // 2] * (T % 2 == 0):  # mean and Nyquist frequency
        assert_close("untouched", torch.view_as_real(after[..., k]),
                     torch.view_as_real(before[..., k]), atol=1e-10)
    between = [s[:, :1] * s[:, 1:].conj() for s in (before, after)]
    assert_close("between leads", torch.view_as_real(between[1]), torch.view_as_real(between[0]),
                 atol=1e-9)
    assert_close("magnitude 0", aug.fourier_surrogate(x, 0.0, uniform), x, atol=1e-12)


def test_fourier_surrogate_dtype_and_refusal():
    assert aug.fourier_surrogate(normal(1, 12, 9, dtype=torch.float32), 0.1,
                                 uniforms(1, 4)).dtype == torch.float32
    with pytest.raises(ValueError, match="must end in 4 for 10 samples, got 5"):
        aug.fourier_surrogate(normal(1, 12, 10), 0.1, uniforms(1, 5))


# --- jitter, rescaling, the whole ECG view


def test_jitter_and_rescale_by_hand():
    x, n = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    want = [[[x[b, v, t] * (1 + 0.6 * 0.25 * n[b, v, t]) for t in range(4)] for v in range(3)]
            for b in range(2)]
    assert_close("jitter", aug.jitter(x, 0.25, n), want, atol=1e-12)
    factor = normal(2, seed=2)
    want = [[[x[b, v, t] * (1 + 0.5 * factor[b]) for t in range(4)] for v in range(3)]
            for b in range(2)]
    assert_close("rescale", aug.rescale(x, 0.5, factor), want, atol=1e-12)


def ones_view(count: int, view: ECGView, seed: int = 0, samples: int = 12) -> torch.Tensor:
    """Views of records that are 1 everywhere."""
    generator = torch.Generator().manual_seed(seed)
    return aug.ecg_view(torch.ones(count, 12, samples), view, 10, generator)


OFF = ECGView(surrogate=0.0, jitter=0.0, rescale=0.0, rate=1.0)


def test_ecg_view_moments_of_jitter_and_rescaling():
    got = ones_view(2000, dataclasses.replace(OFF, jitter=0.25)).double()
    count = got.numel()  # 240,000 independent samples: bounds of 5 standard errors
    assert_close("mean", got.mean(), 1.0, atol=5 * 0.15 / math.sqrt(count))
    assert_close("spread", got.std(), 0.15, atol=5 * 0.15 / math.sqrt(2 * count))
    got = ones_view(20000, dataclasses.replace(OFF, rescale=0.5))[:, :, :1].double()
    assert_equal("one factor a record", got, got[:, :1].expand_as(got))
    assert_close("mean", got[:, 0].mean(), 1.0, atol=5 * 0.5 / math.sqrt(20000))
    assert_close("spread", got[:, 0].std(), 0.5, atol=5 * 0.5 / math.sqrt(40000))


@pytest.mark.parametrize("rate", [0.3, 0.95, 1.0])
def test_ecg_view_rate_is_the_share_of_augmented_records(rate):
    B = 20000
    view = dataclasses.replace(OFF, rescale=0.5, rate=rate)
    touched = (ones_view(B, view)[:, 0, 0] != 1).double().mean()
    assert_close("share", touched, rate, atol=5 * math.sqrt(rate * (1 - rate) / B) + 1e-12)


@pytest.mark.parametrize("options, rate", [({"surrogate": 0.1, "surrogate_rate": 0.3}, 0.3),
                                           ({"surrogate": 0.1}, 1.0), ({"time_flip": 0.3}, 0.3),
                                           ({"sign_flip": 0.3}, 0.3)])
def test_ecg_view_share_of_each_augmentation(options, rate):
    B, view = 5000, dataclasses.replace(OFF, **options)
    x = normal(1, 12, 10, dtype=torch.float32).expand(B, 12, 10)
    got = aug.ecg_view(x, view, 10, torch.Generator().manual_seed(3))
    touched = (got != x).any(dim=2).any(dim=1)
    assert_close("share", touched.double().mean(), rate, atol=5 * math.sqrt(rate * (1 - rate) / B))
    if "time_flip" in options:
        assert_equal("flipped", got[touched], x[touched].flip(-1))
    if "sign_flip" in options:
        assert_equal("flipped", got[touched], -x[touched])
    if "surrogate" in options:
        assert_close("amplitude", torch.fft.rfft(got).abs(), torch.fft.rfft(x).abs(), atol=1e-4)


def test_ecg_view_without_augmentation_is_the_crop():
    ramp = torch.arange(12.0).expand(600, 3, 12)
    for view in (CROP_ONLY, OFF, dataclasses.replace(CONTRASTIVE_ECG, rate=0.0)):
        got = aug.ecg_view(ramp, view, 10, torch.Generator().manual_seed(0))
        start = got[:, 0, 0]
        assert set(start.tolist()) == {0.0, 1.0, 2.0}  # the last start too
        assert_equal("crop", got, start[:, None, None] + torch.arange(10.0).expand(600, 3, 10))


@pytest.mark.parametrize("view", [CONTRASTIVE_ECG, MDM_ECG, CROP_ONLY])
def test_ecg_view_same_seed_same_bits(view):
    x = normal(8, 12, 30, dtype=torch.float32)
    first, again, other = (aug.ecg_view(x, view, 20, torch.Generator().manual_seed(s))
                           for s in (5, 5, 6))
    assert first.dtype == torch.float32 and first.shape == (8, 12, 20)
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("missing", ["apply", "phase", "surrogate", "jitter", "rescale",
                                     "time_flip", "sign_flip"])
def test_ecg_view_from_needs_the_noise_of_its_recipe(missing):
    x, view = normal(2, 12, 30), ECGView(time_flip=0.5, sign_flip=0.5)
    noise = aug.ecg_noise(x, view, 20, torch.Generator().manual_seed(0))
    assert_shape("view", aug.ecg_view_from(x, noise, view, 20), (2, 12, 20))
    with pytest.raises(ValueError, match="every step of the recipe, got None"):
        aug.ecg_view_from(x, noise._replace(**{missing: None}), view, 20)


def test_recipes_carry_the_published_numbers():
    assert ECGView(0.1, 1.0, 0.25, 0.5, 0.95, 0.0, 0.0) == CONTRASTIVE_ECG
    assert ECGView(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0) == CROP_ONLY
    for recipe in (CROP_ONLY, CMRView()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            recipe.rate = 0.5
    assert ECGView(0.075, 0.5, 0.2, 0.5, 1.0, 0.0, 0.0) == MDM_ECG
    assert CMRView() == CMRView(0.95, 0.5, 45.0, 0.5, 0.5, 0.5, 0.25, (0.6, 1.0), (3 / 4, 4 / 3))


# --- images


def test_heart_box():
    image = torch.arange(210 * 210).reshape(1, 210, 210)
    box = aug.heart_box(image)
    assert_shape("box", box, (1, 78, 78))
    assert_equal("corner", box[0, 0, 0], 44 * 210 + 68)
    assert_equal("last", box[0, -1, -1], 121 * 210 + 145)
    with pytest.raises(ValueError, match="210 x 210, got"):
        aug.heart_box(torch.zeros(3, 210, 209))


def test_resize_averages_when_shrinking():
    ramp = torch.arange(6.0).expand(1, 3, 6, 6)
    want = F.interpolate(ramp, size=(4, 4), mode="bilinear", antialias=True, align_corners=False)
    assert_equal("resize", aug.resize(ramp, 4), want)
    checkers = torch.tensor([[0.0, 1.0] * 24, [1.0, 0.0] * 24] * 24).expand(1, 3, 48, 48)
    inner = aug.resize(checkers, 16)[..., 2:-2, 2:-2]  # one pixel of 3 x 3: no aliasing
    assert_close("grey", inner, torch.full_like(inner, 0.5), atol=0.05)


PLAIN = CMRView(rate=1.0, flip=0.0, rotation=0.0, rotation_rate=0.0, brightness=0.0, contrast=0.0,
                saturation=0.0, scale=(1.0, 1.0), ratio=(1.0, 1.0))


def noise_of(count: int = 1, **values: float) -> aug.ImageNoise:
    """Every uniform number 0.5, except the named ones."""
    return aug.ImageNoise(*(torch.full((count,), values.get(name, 0.5))
                            for name in aug.ImageNoise._fields))


def test_image_noise_goes_to_a_device_name_by_name():
    noise = noise_of(3, flip=0.25)
    same = noise.to(torch.device("cpu"))
    assert all(a is b for a, b in zip(same, noise, strict=True))
    assert all(u.device.type == "meta" for u in noise.to(torch.device("meta")))


def smooth(size: int = 65) -> torch.Tensor:
    """A picture without symmetry, as a function of coordinates in [-1, 1]."""
    axis = (torch.arange(size) * 2 + 1) / size - 1
    return scene(axis[None, :].expand(size, size), axis[:, None].expand(size, size))[None]


def scene(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Three channels at (x, y): a bright spot right of and above the centre, on a slope."""
    spot = torch.exp(-((x - 0.3) ** 2 + (y + 0.2) ** 2) / 0.1)
    return torch.stack([0.2 + 0.6 * spot, 0.5 + 0.2 * x, 0.5 + 0.2 * y])


def test_affine_identity():
    want = torch.eye(2, 3)[None]
    assert_close("map", aug.affine(noise_of(), PLAIN), want, atol=1e-7)
    image = smooth()
    assert_close("view", aug.cmr_view(image, noise_of(), PLAIN, 65), image, atol=1e-5)


def test_flip_mirrors_columns_only():
    view = dataclasses.replace(PLAIN, flip=0.6)
    image = smooth()
    assert_close("view", aug.cmr_view(image, noise_of(flip=0.5), view, 65), image.flip(-1),
                 atol=1e-5)
    assert_close("view", aug.cmr_view(image, noise_of(flip=0.7), view, 65), image, atol=1e-5)


def test_a_rate_of_0_decides_against_even_for_a_draw_of_0():
    view = dataclasses.replace(PLAIN, rotation=30.0)
    assert_close("map", aug.affine(noise_of(flip=0.0, rotate=0.0, angle=1.0), view),
                 torch.eye(2, 3)[None], atol=1e-7)


@pytest.mark.parametrize("angle, degrees", [(1.0, 30.0), (0.0, -30.0), (0.75, 15.0)])
def test_rotation_direction_by_scalars(angle, degrees):
    view = dataclasses.replace(PLAIN, rotation=30.0, rotation_rate=0.5)
    got = aug.cmr_view(smooth(), noise_of(rotate=0.4, angle=angle), view, 65)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for row, column in ((32, 32), (20, 40), (45, 25), (30, 10)):
        x, y = (column * 2 + 1) / 65 - 1, (row * 2 + 1) / 65 - 1
        # the output pixel shows what the input has at its position turned by the angle
        want = scene(torch.tensor(c * x - s * y), torch.tensor(s * x + c * y))
        assert_close("pixel", got[0, :, row, column], want, atol=2e-3, call=f"{row, column}")
    assert_equal("outside", got[0, :, [0, 0, -1, -1], [0, -1, 0, -1]], np.zeros((3, 4)))
    still = aug.cmr_view(smooth(), noise_of(rotate=0.6, angle=angle), view, 65)
    assert_close("not rotated", still, smooth(), atol=1e-5)


def test_crop_has_the_drawn_area_ratio_and_place():
    view = dataclasses.replace(PLAIN, scale=(0.25, 0.75), ratio=(0.5, 2.0))
    for area, ratio, width, height in ((0.0, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5**0.5, 0.5**0.5),
                                       (0.0, 1.0, 0.5**0.5, 0.125**0.5),
                                       (0.0, 0.0, 0.125**0.5, 0.5**0.5),
                                       (1.0, 1.0, 1.0, 0.375**0.5),
                                       (1.0, 0.0, 0.375**0.5, 1.0)):
        got = aug.affine(noise_of(area=area, ratio=ratio), view)[0]
        assert_close("map", got, [[width, 0, 0], [0, height, 0]], atol=1e-6)
    for column, row, x, y in ((0.0, 0.0, -0.5, -0.5), (1.0, 0.0, 0.5, -0.5), (0.5, 1.0, 0.0, 0.5)):
        got = aug.affine(noise_of(area=0.0, column=column, row=row), view)[0, :, 2]
        assert_close("centre", got, [x, y], atol=1e-6)  # the box touches the border, never crosses


def test_affine_is_flip_then_rotation_then_crop():
    view = dataclasses.replace(PLAIN, flip=1.0, rotation=40.0, rotation_rate=1.0, scale=(0.3, 0.5),
                               ratio=(0.6, 1.5))
    noise = noise_of(angle=0.85, area=0.3, ratio=0.7, row=0.6, column=0.2)
    image, size = smooth(129), 129
    got = aug.cmr_view(image, noise, view, size)
    for step in (dataclasses.replace(PLAIN, flip=1.0),
                 dataclasses.replace(PLAIN, rotation=40.0, rotation_rate=1.0),
                 dataclasses.replace(PLAIN, scale=view.scale, ratio=view.ratio)):
        image = aug.cmr_view(image, noise, step, size)
    inside = -F.max_pool2d(-image, 9, 1, 4) > 0.15  # away from the black outside and its edge
    assert float(inside.double().mean()) > 0.9
    assert_close("view", torch.where(inside, got, image), image, atol=0.02)


def colour_oracle(image: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """Brightness, contrast about the mean grey, saturation about each pixel's grey; one image."""
    def grey(x, i, j):
        return 0.2989 * x[0, i, j] + 0.587 * x[1, i, j] + 0.114 * x[2, i, j]

    def clip(v):
        return min(max(v, 0.0), 1.0)

    x, (_, h, w) = image.copy(), image.shape
    for index in np.ndindex(*x.shape):
        x[index] = clip(factors[0] * x[index])
    mean = sum(grey(x, i, j) for i in range(h) for j in range(w)) / (h * w)
    for index in np.ndindex(*x.shape):
        x[index] = clip(factors[1] * x[index] + (1 - factors[1]) * mean)
    out = x.copy()
    for c, i, j in np.ndindex(*x.shape):
        out[c, i, j] = clip(factors[2] * x[c, i, j] + (1 - factors[2]) * grey(x, i, j))
    return out


@pytest.mark.parametrize("draws", [(0.0, 0.5, 0.5), (1.0, 0.5, 0.5), (0.5, 0.1, 0.5),
                                   (0.5, 0.9, 0.5), (0.5, 0.5, 0.0), (0.7, 0.8, 0.9)])
def test_colour_jitter_equals_its_loops(draws):
    view = CMRView(brightness=0.5, contrast=0.4, saturation=0.3)
    image = uniforms(2, 3, 5, 4)
    factors = tuple(1 + s * (2 * u - 1) for u, s in zip(draws, (0.5, 0.4, 0.3), strict=True))
    noise = noise_of(2, **dict(zip(("brightness", "contrast", "saturation"), draws, strict=True)))
    want = np.stack([colour_oracle(one, factors) for one in image.numpy()])
    got = aug.colour_jitter(image, noise, view)
    assert_close("image", got, want, atol=1e-6)
    assert float(got.min()) >= 0 and float(got.max()) <= 1


def test_cmr_view_rate_range_and_seed():
    image = uniforms(400, 3, 24, 24).float()
    noise = aug.image_noise(400, torch.Generator().manual_seed(2))
    got = aug.cmr_view(image, noise, CMRView(rate=0.7), 16)
    assert_shape("view", got, (400, 3, 16, 16))
    assert float(got.min()) >= 0 and float(got.max()) <= 1 + 1e-6
    plain = (got == aug.resize(image, 16)).all(dim=3).all(dim=2).all(dim=1)
    assert_equal("augmented", ~plain, noise.apply < 0.7)
    assert_close("share", plain.double().mean(), 0.3, atol=5 * math.sqrt(0.21 / 400))
    assert_equal("off", aug.cmr_view(image, noise, CMRView(rate=0.0), 16), aug.resize(image, 16))
    again = aug.image_noise(400, torch.Generator().manual_seed(2))
    assert all(torch.equal(a, b) for a, b in zip(noise, again, strict=True))
    assert len({tuple(u.tolist()) for u in noise}) == len(aug.ImageNoise._fields)
    assert all(float(u.min()) >= 0 and float(u.max()) < 1 for u in noise)


def test_affine_decisions_have_their_rates():
    B, view = 20000, dataclasses.replace(CMRView(), flip=0.3, rotation_rate=0.7)
    maps = aug.affine(aug.image_noise(B, torch.Generator().manual_seed(4)), view).double()
    flipped = (maps[:, 0, 0] < 0).double().mean()  # the cosine is positive up to 45 degrees
    turned = (maps[:, 1, 0] != 0).double().mean()
    assert_close("flipped", flipped, 0.3, atol=5 * math.sqrt(0.21 / B))
    assert_close("turned", turned, 0.7, atol=5 * math.sqrt(0.21 / B))
    area = (maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0]).abs()
    assert float(area.min()) >= 0.6 - 1e-6 and float(area.max()) <= 1 + 1e-6
