"""Plain measurements on rendered records and images, for the audit; they know no latent.

    ECG    beats by `delineation.find_beats` -> median beat -> rate, widths, amplitudes
    image  areas, places and brightness of the segmented parts, chest, noise, array statistics
    margin border pixels of the image; first and last samples, mean, extremes of each lead

Glossary: N subjects; F, G, B numbers of ECG, image and margin measurements; beat, median over the
record's beats, R peak at sample 150.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data_synth.ecg.leads import EIGHT_ROWS
from data_synth.realism.delineation import find_beats
from reference.cohort.format import SAMPLING_RATE

_BEFORE, _AFTER = 150, 300  # samples around the R peak
_SUBJECTS_AT_ONCE = 25  # subjects simulated at once; bounds the memory
_BORDER = np.zeros((210, 210), bool)
_BORDER[[0, -1]] = True
_BORDER[:, [0, -1]] = True


class Measured(NamedTuple):
    """Measurements of N subjects."""

    ecg: np.ndarray  # [N, F]
    image: np.ndarray  # [N, G]
    ecg_margin: np.ndarray  # [N, 12 * 8] mV
    image_margin: np.ndarray  # [N, B] border pixels and array statistics
    phenotypes: np.ndarray  # [N, 61]
    labels: np.ndarray  # [N, 3]
    latents: dict[str, np.ndarray]  # name -> [N]

    def rows(self, index: np.ndarray) -> Measured:
        """The chosen subjects."""
        arrays = {name: getattr(self, name)[index] for name in self._fields[:-1]}
        return Measured(**arrays, latents={name: value[index]
                                           for name, value in self.latents.items()})


def measure(simulate: Callable, subjects: Sequence[int], seed: int, **options) -> Measured:
    """Simulate subjects in small groups and keep only what is measured on them.

    Args:
        simulate: `data_synth.simulate` or a stand-in with its signature.
        subjects: N subject numbers; seed: the cohort's seed.
        options: coupling, ecg_noise, ecg_seed, cmr_seed.
    Returns:
        Measurements, in the order of the subjects.
    """
    parts = []
    for start in range(0, len(subjects), _SUBJECTS_AT_ONCE):
        group = simulate(list(subjects[start:start + _SUBJECTS_AT_ONCE]), seed, **options)
        ecg = np.stack([ecg_features(record) for record in group.ecg])
        image = np.stack([image_features(*pair) for pair in zip(group.cmr, group.segmentation,
                                                                 strict=True)])
        margins = [ecg_margin(group.ecg), image_margin(group.cmr)]
        parts.append((ecg, image, *margins, group.phenotypes, group.labels, group.latents))
    arrays = {name: np.concatenate([part[k] for part in parts])
              for k, name in enumerate(Measured._fields[:-1])}
    return Measured(**arrays, latents={name: np.concatenate([part[-1][name] for part in parts])
                                       for name in parts[0][-1]})


def ecg_features(ecg: np.ndarray) -> np.ndarray:
    """What a cardiologist reads from one record.

    Args:
        ecg: [12, 5000] mV at 500 Hz.
    Returns:
        [F]: rate (bpm), irregularity, QRS duration (ms), time of the T peak (ms), axis as cosine
        and sine, log R, S and T size, T, ST, P, late QRS and early QRS amplitudes of eight leads
        (mV), log rms of fast noise.
    Source: own choice.
    """
    peaks = find_beats(ecg, SAMPLING_RATE)
    rr = np.diff(peaks) / 500
    inside = [p for p in peaks if _BEFORE < p < ecg.shape[1] - _AFTER]
    beats = np.stack([ecg[EIGHT_ROWS, p - _BEFORE:p + _AFTER] for p in inside])  # [B, 8, 450]
    beat = np.median(beats, axis=0)
    beat -= np.median(beat[:, 90:110], axis=1, keepdims=True)  # the PR segment is the zero
    speed = np.convolve(np.abs(np.diff(beat)).sum(0), np.ones(5) / 5, "same")
    active = np.flatnonzero(speed[90:220] > .12 * speed[100:200].max()) + 90
    qrs, t_wave, p_wave = beat[:, 110:200], beat[:, 210:400], beat[:, 30:105]
    t_at = np.argmax(np.abs(t_wave).sum(0))
    area = qrs.sum(1)
    angle = np.arctan2((2 * area[1] - area[0]) / np.sqrt(3), area[0])  # aVF against I
    noise = np.std(np.diff(ecg[EIGHT_ROWS], n=2), axis=1)
    rest = [60 / rr.mean(), np.abs(np.diff(rr)).mean() / rr.mean(), 2.0 * (active[-1] - active[0]),
            2.0 * t_at, np.cos(angle), np.sin(angle), np.log(np.median(noise))]
    return np.concatenate([rest, _log(qrs.max(1)), _log(-qrs.min(1)),
                           t_wave[:, max(t_at - 5, 0):t_at + 6].mean(1), beat[:, 205:215].mean(1),
                           p_wave.max(1), p_wave.min(1), beat[:, 130:138].mean(1),
                           beat[:, 162:170].mean(1)])


def _log(size: np.ndarray) -> np.ndarray:
    """Logarithm of an amplitude (mV), flat below the noise."""
    return np.log(.02 + np.maximum(size, 0))


def image_features(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Size, shape, place and brightness of what one cine shows.

    Args:
        image: [3, 210, 210] in [0, 1]; mask: [3, 210, 210], 1 LV blood, 2 muscle, 3 RV blood.
    Returns:
        [G]: areas in each frame (pixels), place and turn of the heart, brightness of the parts,
        of the chest in 25 tiles, and noise of the air.
    Source: own choice.
    """
    area = [(mask[frame] == part).sum() for frame in range(3) for part in (1, 2, 3)]
    left, right = (np.argwhere(mask[0] == part).mean(0) for part in (1, 3))
    bright = [image[frame][mask[frame] == part].mean() for frame in (0, 2) for part in (1, 2, 3)]
    spread = [image[0][mask[0] == part].std() for part in (1, 2, 3)]
    tiles = image[0].reshape(5, 42, 5, 42).mean((1, 3)).ravel()
    corner = image[:, :8, :8]
    return np.concatenate([area, left, right - left, bright, spread, tiles,
                           [np.log(corner.mean()), np.log(corner.std())]])


def ecg_margin(ecg: np.ndarray) -> np.ndarray:
    """[N, 12 * 8] mV: first two and last two samples, mean, minimum, maximum, spread of a lead."""
    return np.concatenate([ecg[..., 0], ecg[..., 1], ecg[..., -2], ecg[..., -1], ecg.mean(-1),
                           ecg.min(-1), ecg.max(-1), ecg.std(-1)], axis=1)


def image_margin(image: np.ndarray) -> np.ndarray:
    """[N, B]: all 836 border pixels of the three frames; mean, minimum, maximum, spread."""
    statistics = [f(image, axis=(2, 3)) for f in (np.mean, np.min, np.max, np.std)]
    border = image[:, :, _BORDER]  # [N, 3, 836]
    return np.concatenate([border.reshape(len(image), -1), *statistics], axis=1)
