"""CMR: image of a cine, and training views, pixel by pixel.

    percentile   of n sorted values at q: between the two around place q (n - 1), linear
    resize       output i of n <- m pixels: mean of the pixels j with weight
                 max(0, 1 - |j + 1/2 - (i + 1/2) m / n| / max(m / n, 1))
    view         output (x, y) in [-1, 1]^2 -> in the crop (x w + x0, y h + y0) -> turned
                 -> mirrored; there bilinear between pixel centres, black outside
    colours      c <- clip(f c + (1 - f) o) to [0, 1]: o = 0, then the mean grey, then the grey

Glossary: B images of 3 channels, f factor uniform on [1 - strength, 1 + strength], grey 0.2989,
0.587, 0.114 of the channels.
"""

from __future__ import annotations

import math

import numpy as np

SIZE = 210
GREY = (0.2989, 0.587, 0.114)


def percentile(values: list[float], q: float) -> float:
    """Of sorted values."""
    place = q * (len(values) - 1)
    low = min(math.floor(place), len(values) - 2)
    return values[low] + (place - low) * (values[low + 1] - values[low])


def prepare_cine(cine: np.ndarray, ed: int, es: int, channel_order: str) -> np.ndarray:
    """Three frames of the middle slice, scaled between their percentiles, about the centre."""
    frames = cine.shape[3]
    late = es if es > ed else es + frames
    mid = (ed + (late - ed) // 2) % frames
    order = {"ed-mid-es": (ed, mid, es), "es-mid-ed": (es, mid, ed)}[channel_order]
    images = [cine[:, :, cine.shape[2] // 2, frame] for frame in order]
    values = sorted(float(v) for image in images for v in image.reshape(-1))
    low, high = percentile(values, 0.01), percentile(values, 0.99)
    out = np.zeros((3, SIZE, SIZE))
    if high == low:
        return out
    shift_x, shift_y = (shift(got) for got in cine.shape[:2])
    for c, x, y in np.ndindex(3, *cine.shape[:2]):
        place = x + shift_x, y + shift_y
        if 0 <= place[0] < SIZE and 0 <= place[1] < SIZE:
            out[c, place[0], place[1]] = (min(max(images[c][x, y], low), high) - low) / (high - low)
    return out


def shift(got: int) -> int:
    """From a pixel's place in an axis of `got` to that in the square; the far side gets the odd
    pixel, of what is added and of what is taken away."""
    return (SIZE - got) // 2 if got <= SIZE else -((got - SIZE) // 2)


def heart_box(image: np.ndarray) -> np.ndarray:
    """Rows 44..121 and columns 68..145 of [B, C, 210, 210]."""
    out = np.zeros((*image.shape[:2], 78, 78))
    for b, c, row, column in np.ndindex(*out.shape):
        out[b, c, row, column] = image[b, c, 44 + row, 68 + column]
    return out


def resize_weights(got: int, wanted: int) -> list[list[float]]:
    """Share of every input pixel in every output pixel."""
    table, scale = [], got / wanted
    for i in range(wanted):
        row = [max(0.0, 1 - abs(j + 0.5 - (i + 0.5) * scale) / max(scale, 1)) for j in range(got)]
        table.append([w / sum(row) for w in row])
    return table


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """[B, 3, h, w] -> [B, 3, size, size]."""
    B, C, h, w = image.shape
    rows, columns = resize_weights(h, size), resize_weights(w, size)
    out = np.zeros((B, C, size, size))
    for b, c, i, j in np.ndindex(*out.shape):
        out[b, c, i, j] = sum(rows[i][row] * columns[j][column] * image[b, c, row, column]
                              for row in range(h) if rows[i][row]
                              for column in range(w) if columns[j][column])
    return out


def affine(noise: dict[str, np.ndarray], view: dict) -> np.ndarray:
    """[B, 2, 3]: the map of the view as a matrix, by the images of (0, 0), (1, 0) and (0, 1)."""
    B = len(noise["apply"])
    out = np.zeros((B, 2, 3))
    for b in range(B):
        u = {name: values[b] for name, values in noise.items()}
        origin = source(0.0, 0.0, u, view)
        along_x, along_y = source(1.0, 0.0, u, view), source(0.0, 1.0, u, view)
        for i in range(2):
            out[b, i] = along_x[i] - origin[i], along_y[i] - origin[i], origin[i]
    return out


def source(x: float, y: float, u: dict[str, float], view: dict) -> tuple[float, float]:
    """Where the output's point (x, y) comes from."""
    area = view["scale"][0] + (view["scale"][1] - view["scale"][0]) * u["area"]
    low, high = (math.log(r) for r in view["ratio"])
    aspect = math.exp(low + (high - low) * u["ratio"])
    width, height = min(math.sqrt(area * aspect), 1.0), min(math.sqrt(area / aspect), 1.0)
    x = x * width + (2 * u["column"] - 1) * (1 - width)
    y = y * height + (2 * u["row"] - 1) * (1 - height)
    turned = u["rotate"] < view["rotation_rate"]
    angle = math.radians((2 * u["angle"] - 1) * view["rotation"]) if turned else 0.0
    x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    return (-x if u["flip"] < view["flip"] else x), y


def sample(image: np.ndarray, x: float, y: float) -> float:
    """Bilinear value of [h, w] at a point of [-1, 1]^2, whose edges are those of the image."""
    h, w = image.shape
    column, row = ((x + 1) * w - 1) / 2, ((y + 1) * h - 1) / 2
    value = 0.0
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < h and 0 <= j < w:
                value += (1 - abs(row - i)) * (1 - abs(column - j)) * image[i, j]
    return value


def grey(image: np.ndarray) -> np.ndarray:
    """[3, h, w] -> [h, w]."""
    return GREY[0] * image[0] + GREY[1] * image[1] + GREY[2] * image[2]


def colour_jitter(image: np.ndarray, noise: dict[str, np.ndarray], view: dict) -> np.ndarray:
    """Brightness, contrast, saturation of [B, 3, h, w]."""
    out = np.array(image)
    for b in range(len(image)):
        for what in ("brightness", "contrast", "saturation"):
            f = 1 + view[what] * (2 * noise[what][b] - 1)
            shades = grey(out[b])
            other = {"brightness": 0 * shades, "saturation": shades,
                     "contrast": 0 * shades + shades.sum() / shades.size}[what]
            for place in np.ndindex(*out[b].shape):
                value = f * out[b][place] + (1 - f) * other[place[1:]]
                out[b][place] = min(max(value, 0.0), 1.0)
    return out


def cmr_view(image: np.ndarray, noise: dict[str, np.ndarray], view: dict,
             size: int) -> np.ndarray:
    """[B, 3, h, w] -> [B, 3, size, size]; a plain resize where `apply` is not below the rate."""
    B = len(image)
    moved = np.zeros((B, 3, size, size))
    for b, c, i, j in np.ndindex(*moved.shape):
        u = {name: values[b] for name, values in noise.items()}
        point = source((2 * j + 1) / size - 1, (2 * i + 1) / size - 1, u, view)
        moved[b, c, i, j] = sample(image[b, c], *point)
    out, plain = colour_jitter(moved, noise, view), resize(image, size)
    for b in range(B):
        if not noise["apply"][b] < view["rate"]:
            out[b] = plain[b]
    return out
