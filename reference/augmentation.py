"""Training views of ECG and CMR, batched, with every random number passed in.

    crop       x[..., s : s + n]
    surrogate  irfft(rfft(x) exp(i 2 pi m U)),  DC and Nyquist untouched, same U for all leads
    jitter     x + 0.6 x n,  n ~ N(0, sigma) per sample
    rescale    f x,  f ~ N(1, sigma) per record
    image      one affine resampling (flip, rotation, resized crop) of the heart box, then colours

Glossary: B records, V leads, T samples, m magnitude, U uniform phases, s start, n view length,
u uniform noise; images are [B, 3, h, w] in [0, 1], the three phases standing where RGB stands.
Source: Turgut et al. 2025, section 3 (augmentations) and authors' code; surrogate: Rommel et al.
2022 after Schwabedal et al. 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from reference.views import CMRView, ECGView

Image = TypeVar("Image", np.ndarray, torch.Tensor)
Draw = Callable[..., torch.Tensor]  # sizes -> random numbers

HEART_BOX = (44, 122, 68, 146)  # rows 44..121, columns 68..145 of 210 x 210: 78 x 78 pixels


def crop(x: torch.Tensor, start: torch.Tensor, length: int) -> torch.Tensor:
    """Consecutive samples of every record.

    Args:
        x: [B, V, T].
        start: [B] int64, 0 <= start <= T - length.
        length: n samples.
    Returns:
        [B, V, n].
    Raises:
        ValueError: a start outside the record.
    Source: authors' code (time crop).
    Differs: their last possible start is never drawn; `random_start` draws all of them.
    """
    B, V, T = x.shape
    if length > T or int(start.min()) < 0 or int(start.max()) > T - length:
        raise ValueError(f"start must be in [0, {T - length}] for {length} of {T} samples, got "
                         f"[{int(start.min())}, {int(start.max())}]")
    index = start[:, None] + torch.arange(length, device=x.device)  # [B, n]
    return x.gather(2, index[:, None].expand(B, V, length))


def random_start(uniform: torch.Tensor, samples: int, length: int) -> torch.Tensor:
    """Start of a crop from uniform noise: [B] in [0, 1) -> [B] int64 in 0 .. samples - length."""
    return (uniform * (samples - length + 1)).long().clamp(max=samples - length)


def fourier_surrogate(x: torch.Tensor, magnitude: float, uniform: torch.Tensor) -> torch.Tensor:
    """Shift the phase of every frequency by the same random amount in all leads.

    Args:
        x: [..., V, T].
        magnitude: m; phases are 2 pi m U.
        uniform: [..., (T - 1) // 2], U on [0, 1) for the positive frequencies below Nyquist.
    Returns:
        [..., V, T], dtype of x.
    Raises:
        ValueError: uniform has another last dimension.
    Source: authors' code (Fourier surrogate), after Rommel et al. 2022.
    """
    T = x.shape[-1]
    if uniform.shape[-1] != (T - 1) // 2:
        raise ValueError(f"uniform must end in {(T - 1) // 2} for {T} samples, got "
                         f"{uniform.shape[-1]}")
    spectrum = torch.fft.rfft(x, dim=-1)  # [..., V, T // 2 + 1]
    phase = F.pad(uniform.to(x.dtype), (1, spectrum.shape[-1] - 1 - uniform.shape[-1]))
    angle = (2 * math.pi * magnitude * phase)[..., None, :]  # [..., 1, T // 2 + 1]
    return torch.fft.irfft(spectrum * torch.polar(torch.ones_like(angle), angle), n=T, dim=-1)


def jitter(x: torch.Tensor, sigma: float, normal: torch.Tensor) -> torch.Tensor:
    """Multiplicative noise x + 0.6 sigma x n.

    Args:
        x: [...].
        sigma: standard deviation.
        normal: standard normal noise, shape of x.
    Returns:
        Shape of x.
    Source: authors' code (jitter; the factor 0.6 is theirs).
    """
    return x + 0.6 * sigma * x * normal


def rescale(x: torch.Tensor, sigma: float, normal: torch.Tensor) -> torch.Tensor:
    """One factor N(1, sigma) for the whole record: x [B, V, T], normal [B] -> [B, V, T].

    Source: authors' code (rescaling).
    """
    return x * (1 + sigma * normal)[:, None, None]


class ECGNoise(NamedTuple):
    """Random numbers of an ECG view, uniform on [0, 1) or standard normal; None where the recipe
    has no use for them. What they decide is in `ecg_view_from`."""

    start: torch.Tensor  # [B] uniform
    apply: torch.Tensor | None = None  # [B] uniform
    phase: torch.Tensor | None = None  # [B, (n - 1) // 2] uniform
    surrogate: torch.Tensor | None = None  # [B] uniform
    jitter: torch.Tensor | None = None  # [B, V, n] normal
    rescale: torch.Tensor | None = None  # [B] normal
    time_flip: torch.Tensor | None = None  # [B] uniform
    sign_flip: torch.Tensor | None = None  # [B] uniform


def ecg_noise(x: torch.Tensor, view: ECGView, length: int, generator: torch.Generator) -> ECGNoise:
    """Draw what a view needs, on the device of x.

    Args:
        x: [B, V, T].
        view: the recipe.
        length: n samples of the view.
        generator: all randomness comes from it.
    Returns:
        ECGNoise, None for what the recipe has no use for.
    """
    B, V, _ = x.shape
    uniform, normal = _draws(generator, x)
    start = uniform(B)
    if view.rate == 0.0:
        return ECGNoise(start)
    apply, phase, surrogate = uniform(B), None, None
    if view.surrogate > 0:
        phase, surrogate = uniform(B, (length - 1) // 2), uniform(B)
    return ECGNoise(start, apply, phase, surrogate,
                    normal(B, V, length) if view.jitter > 0 else None,
                    normal(B) if view.rescale > 0 else None,
                    uniform(B) if view.time_flip > 0 else None,
                    uniform(B) if view.sign_flip > 0 else None)


def ecg_view_from(x: torch.Tensor, noise: ECGNoise, view: ECGView, length: int) -> torch.Tensor:
    """Crop, then surrogate, jitter, rescaling and flips where the noise falls below their rates.

    Args:
        x: [B, V, T], cleaned ECG.
        noise: as `ecg_noise` draws it.
        view: the recipe.
        length: n samples of the view.
    Returns:
        [B, V, n].
    Raises:
        ValueError: the noise lacks what the recipe asks for, or as `crop` and `fourier_surrogate`.
    Source: authors' code; order crop, surrogate, jitter, rescaling, flips.
    """
    def below(u: torch.Tensor | None, rate: float) -> torch.Tensor:
        return (_drawn(u) < rate)[:, None, None]  # [B, 1, 1]

    x = crop(x, random_start(noise.start, x.shape[-1], length), length)
    if view.rate == 0.0:
        return x
    y = x
    if view.surrogate > 0:
        shifted = fourier_surrogate(x, view.surrogate, _drawn(noise.phase))
        y = torch.where(below(noise.surrogate, view.surrogate_rate), shifted, x)
    if view.jitter > 0:
        y = jitter(y, view.jitter, _drawn(noise.jitter))
    if view.rescale > 0:
        y = rescale(y, view.rescale, _drawn(noise.rescale))
    if view.time_flip > 0:
        y = torch.where(below(noise.time_flip, view.time_flip), y.flip(-1), y)
    if view.sign_flip > 0:
        y = torch.where(below(noise.sign_flip, view.sign_flip), -y, y)
    return torch.where(below(noise.apply, view.rate), y, x)


def ecg_view(x: torch.Tensor, view: ECGView, length: int, generator: torch.Generator
             ) -> torch.Tensor:
    """A random view of every record: `ecg_view_from` with noise from the generator.

    Args:
        x: [B, V, T], cleaned ECG.
        view: the recipe.
        length: n samples of the view.
        generator: on the CPU or on the device of x; all randomness comes from it.
    Returns:
        [B, V, n].
    Source: as `ecg_view_from`.
    """
    return ecg_view_from(x, ecg_noise(x, view, length, generator), view, length)


def heart_box(image: Image) -> Image:
    """Fixed box around the heart: [..., 210, 210] -> [..., 78, 78], a tensor or a NumPy array.

    Raises:
        ValueError: the image is not 210 x 210.
    Source: authors' code (contrastive stage and evaluation of its encoder).
    """
    if tuple(image.shape[-2:]) != (210, 210):
        raise ValueError(f"image must end in 210 x 210, got {list(image.shape)}")
    top, bottom, left, right = HEART_BOX
    return image[..., top:bottom, left:right]


def resize(image: torch.Tensor, size: int) -> torch.Tensor:
    """Validation view, bilinear, anti-aliased: [B, 3, h, w] -> [B, 3, size, size]."""
    return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False,
                         antialias=True)


class ImageNoise(NamedTuple):
    """Uniform numbers on [0, 1), each [B]; what they decide is in `affine` and `colour_jitter`."""

    apply: torch.Tensor
    flip: torch.Tensor
    rotate: torch.Tensor
    angle: torch.Tensor
    brightness: torch.Tensor
    contrast: torch.Tensor
    saturation: torch.Tensor
    area: torch.Tensor
    ratio: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor

    def to(self, device: torch.device) -> ImageNoise:
        """The same numbers on a device."""
        return ImageNoise(*(u.to(device) for u in self))


def image_noise(batch: int, generator: torch.Generator) -> ImageNoise:
    """Draw the uniform numbers of `batch` views, on the device of the generator."""
    draws = torch.rand(len(ImageNoise._fields), batch, generator=generator,
                       device=generator.device, dtype=torch.float32)
    return ImageNoise(*draws)


def affine(noise: ImageNoise, view: CMRView) -> torch.Tensor:
    """Output-to-input affine maps of flip, rotation and resized crop, as `affine_grid` wants them.

    The crop has area share a ~ U(scale) and aspect ratio exp(U(log ratio)), clamped to the image,
    at a uniform place; the rotation is about the centre of the whole image, before the crop.

    Args:
        noise: [B] uniforms.
        view: the recipe.
    Returns:
        [B, 2, 3].
    Source: authors' code uses torchvision's flip, rotation and random resized crop one by one.
    Differs: one bilinear resampling instead of three; an aspect ratio that does not fit is clamped
        instead of drawn again.
    """
    area = view.scale[0] + (view.scale[1] - view.scale[0]) * noise.area  # [B]
    low, high = math.log(view.ratio[0]), math.log(view.ratio[1])
    aspect = torch.exp(low + (high - low) * noise.ratio)  # [B] width / height
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    x0 = (2 * noise.column - 1) * (1 - width)  # centre of the crop in [-1, 1]
    y0 = (2 * noise.row - 1) * (1 - height)
    degrees = (2 * noise.angle - 1) * view.rotation * (noise.rotate < view.rotation_rate)
    radians = degrees * (math.pi / 180)
    c, s = radians.cos(), radians.sin()
    sign = 1 - 2 * (noise.flip < view.flip)  # horizontal flip comes first
    top = torch.stack([sign * c * width, -sign * s * height, sign * (c * x0 - s * y0)], dim=1)
    bottom = torch.stack([s * width, c * height, s * x0 + c * y0], dim=1)
    return torch.stack([top, bottom], dim=1)  # [B, 2, 3]


def colour_jitter(image: torch.Tensor, noise: ImageNoise, view: CMRView) -> torch.Tensor:
    """Brightness, contrast and saturation, in this order, clipped to [0, 1] after each.

    Args:
        image: [B, 3, h, w] in [0, 1].
        noise: [B] uniforms.
        view: the recipe; each factor is uniform on [1 - strength, 1 + strength].
    Returns:
        [B, 3, h, w] in [0, 1].
    Source: authors' code (torchvision colour jitter; the three frames are treated as RGB, so that
        saturation mixes time).
    Differs: torchvision draws the order at random; here it is fixed.
    """
    def factor(u: torch.Tensor, strength: float) -> torch.Tensor:
        return (1 + strength * (2 * u - 1))[:, None, None, None]

    def blend(x: torch.Tensor, other: torch.Tensor | float, f: torch.Tensor) -> torch.Tensor:
        return (f * x + (1 - f) * other).clamp(0, 1)

    image = blend(image, 0.0, factor(noise.brightness, view.brightness))
    mean = _grey(image).mean(dim=(1, 2, 3), keepdim=True)  # [B, 1, 1, 1]
    image = blend(image, mean, factor(noise.contrast, view.contrast))
    return blend(image, _grey(image), factor(noise.saturation, view.saturation))


def cmr_view(image: torch.Tensor, noise: ImageNoise, view: CMRView, size: int) -> torch.Tensor:
    """One training view of every image.

    Args:
        image: [B, 3, h, w] in [0, 1], usually the heart box.
        noise: [B] uniforms on the device of the image.
        view: the recipe.
        size: pixels of the square output.
    Returns:
        [B, 3, size, size] in [0, 1].
    Source: Turgut et al. 2025, section 3.2; authors' code. Outside the image is 0 (black).
    """
    grid = F.affine_grid(affine(noise, view).to(image.dtype),
                         [image.shape[0], 3, size, size], align_corners=False)
    y = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    y = colour_jitter(y, noise, view)
    plain = resize(image, size)
    return torch.where((noise.apply < view.rate)[:, None, None, None], y, plain)


def _grey(image: torch.Tensor) -> torch.Tensor:
    weights = image.new_tensor([0.2989, 0.587, 0.114])  # ITU-R 601, as torchvision
    return (image * weights[:, None, None]).sum(dim=1, keepdim=True)


def _drawn(noise: torch.Tensor | None) -> torch.Tensor:
    """Noise that the recipe asks for."""
    if noise is None:
        raise ValueError("the noise must hold a tensor for every step of the recipe, got None")
    return noise


def _draws(generator: torch.Generator, like: torch.Tensor) -> tuple[Draw, Draw]:
    """Functions that draw uniform and normal numbers of a shape, on the device of `like`."""
    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device,
                          dtype=torch.float32).to(like.device)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device=generator.device,
                           dtype=like.dtype).to(like.device)

    return uniform, normal
