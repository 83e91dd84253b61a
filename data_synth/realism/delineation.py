"""Measure an electrocardiogram as a reader would: beats, waves, intervals, axes, voltages.

    energy  e(t) = sum over 8 leads and 80 ms of (dx/dt)^2            beats: peaks of e
    beat    median over aligned normal beats of x - (level before the QRS, joined by lines)
    QRS     |dx/dt| over 8 leads above max(10 % of its peak, noise), left by 10 ms of quiet
    P, T    first principal component of the 8 leads inside a window; its steepest flanks are
            prolonged to the zero line (tangent method); QT ends there, P begins and ends there
    QTcF    = QT / RR^(1/3)         axis = atan2(2 / sqrt 3 aVF, I) of areas
    Sokolow = S V1 + max(R V5, R V6)     Cornell = R aVL + S V3

Nothing here knows how a record was made, so simulated and real records are measured alike.

Glossary: x [12, T], mV, leads I II III aVR aVL aVF V1..V6; RR, interval between beats (s);
fiducial, sample of the steepest part of a QRS; beat [12, W], from `BEFORE` s before the fiducial.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from data_synth.ecg.leads import DOWER, EIGHT_ROWS, LEAD
from reference.cohort import LEADS

BEFORE, AFTER = .40, .62  # s of a beat around its fiducial
QRS_SHARE = .10  # of the peak speed; a Gaussian wave then ends 2.7 widths from its peak
_TO_DIPOLE = np.linalg.pinv(DOWER)  # [3, 8]
_CONTIGUOUS = (("I", "aVL"), ("V4", "V5"), ("V5", "V6"), ("II", "aVF"), ("III", "aVF"),
               ("II", "III"))
SCALARS = (  # names of `Delineation.values`; ms, mV, degrees, bpm
    "rate", "rr_sd", "rr_cv", "rr_lag", "ectopic", "p_duration", "pr", "qrs", "qt", "qtc",
    "axis", "t_axis", "qrs_t", "spatial_qrs_t", "r_time_v5", "tp_te", "sokolow", "cornell",
    "p_height", "p_terminal", "q_area", "pathological_q", "p_seen")
PER_LEAD = ("q", "r", "s", "t", "st", "area", "t_area")  # names of the rows of `leads`


class Delineation(NamedTuple):
    """What was measured on one record."""

    values: dict[str, float]  # `SCALARS`; NaN where a wave cannot be seen
    leads: np.ndarray  # [7, 12], rows `PER_LEAD`: mV; q and s as depths; areas in mV ms
    beat: np.ndarray  # [12, W] mV, the median beat
    beats: np.ndarray  # [B] fiducials
    normal: np.ndarray  # [B] bool: looks like the others
    bounds: tuple[int, int, int]  # samples of the beat: QRS onset, QRS end, T end


def delineate(ecg: np.ndarray, rate: float = 500.0) -> Delineation:
    """Measure one record.

    Args:
        ecg: [12, T] mV, at least 3 s.
        rate: sampling rate, Hz.
    Returns:
        The measurements.
    Raises:
        ValueError: wrong shape, too short, not finite, or fewer than 3 whole beats.
    Source: Laguna et al. 1994 (multi-lead rule); Lepeschkin and Surawicz 1952 (tangent); Thygesen
        et al. 2018 (pathological Q); Sokolow and Lyon 1949; Casale et al. 1985 (Cornell).
    """
    ecg = np.asarray(ecg, np.float64)
    if ecg.ndim != 2 or ecg.shape[0] != 12 or ecg.shape[1] < 3 * rate:
        raise ValueError(f"ecg is {ecg.shape}; [12, T] with T >= {int(3 * rate)} is needed")
    if not np.isfinite(ecg).all():
        raise ValueError("ecg holds NaN or infinity; finite numbers are needed")
    beats = find_beats(ecg, rate)
    beats, normal = align(ecg, beats, rate)
    if normal.sum() < 3:
        raise ValueError(f"{int(normal.sum())} whole normal beats; at least 3 are needed")
    rough = _levelled(ecg, beats, normal, -round(.100 * rate), rate).mean(axis=1)  # [12, W]
    start = round(BEFORE * rate)
    onset, end = qrs_bounds(rough, rate)
    single = _levelled(ecg, beats, normal, onset - round(.008 * rate) - start, rate)
    beat, shown = np.median(single, axis=1), single[EIGHT_ROWS]  # [12, W], [8, B, W]
    values = _rhythm(beats, normal, rate)
    rr = 60 / values["rate"]
    t_begin, t_peak, t_end = _t_wave(beat, end, rr, rate)
    leads = _per_lead(beat, (onset, end, t_begin, t_end), rate)
    values.update(_intervals(beat, (onset, end, t_peak, t_end), rr, rate))
    values.update(_p_wave(beat, shown, onset, t_end - rr * rate, rate))
    values.update(_voltages(leads), **_q_waves(beat, onset, end, rate))
    values["spatial_qrs_t"] = _spatial_angle(beat, (onset, end, t_peak))
    return Delineation({name: float(values[name]) for name in SCALARS}, leads, beat, beats,
                       normal, (onset, end, t_end))


def find_beats(ecg: np.ndarray, rate: float) -> np.ndarray:
    """Fiducials of all QRS complexes.

    Args:
        ecg: [12, T] mV; rate: Hz.
    Returns:
        [B] samples.
    Source: Pan and Tompkins 1985 (energy, refractory time, search back), over eight leads.
    """
    step = max(1, round(.008 * rate))
    smooth = moving_mean(ecg[EIGHT_ROWS], round(.012 * rate))
    speed = ((smooth[:, step:] - smooth[:, :-step]) ** 2).sum(axis=0)  # [T - step]
    energy = moving_mean(speed, round(.08 * rate))
    energy = np.maximum(energy - np.percentile(energy, 25), 0)
    whole = len(energy) // round(2 * rate) * round(2 * rate)
    level = np.median(energy[:whole].reshape(-1, round(2 * rate)).max(axis=1))
    found = _peaks(energy, 0, len(energy), .22 * level, rate)
    rr = np.median(np.diff(found)) if len(found) > 2 else np.inf
    late = []  # a wide or low beat in a long pause
    for before, after in pairwise(found):
        if after - before > 1.5 * rr:
            late += _peaks(energy, before + round(.36 * rate), after - round(.24 * rate),
                           .05 * level, rate)[:1]
    return np.array(sorted(found + late), dtype=int) + step // 2


def _peaks(energy: np.ndarray, first: int, last: int, level: float, rate: float) -> list[int]:
    """Maxima of the energy in [first, last) above a level, at least 240 ms apart."""
    above, found = first + np.flatnonzero(energy[first:last] > level), []
    while len(above):
        reach = energy[above[0]:min(above[0] + round(.16 * rate), last)]
        found.append(int(above[0] + np.argmax(reach)))
        above = above[np.searchsorted(above, found[-1] + round(.24 * rate)):]
    return found


def align(ecg: np.ndarray, beats: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Shift fiducials onto their common template, and tell normal beats from others.

    Args:
        ecg: [12, T] mV; beats: [B] samples; rate: Hz.
    Returns:
        Shifted beats inside the record [B'], and [B'] bool: whole, and r > .9 with the template.
    Source: template matching; two rounds of cross-correlation within 24 ms.
    """
    half, reach = round(.10 * rate), round(.024 * rate)
    beats = beats[(beats > half + 3 * reach) & (beats < ecg.shape[1] - half - 3 * reach)]
    if len(beats) == 0:
        return beats, np.zeros(0, bool)
    x = ecg[EIGHT_ROWS]  # [8, T]
    span = np.arange(-half, half + 1)
    shifts = np.arange(-reach, reach + 1)
    for _ in range(2):
        template = np.median(x[:, beats[:, None] + span], axis=1)  # [8, span]
        template -= template.mean(axis=1, keepdims=True)
        wide = np.arange(-half - reach, half + reach + 1)
        part = x[:, beats[:, None] + wide]  # [8, B, span + 2 reach]
        windows = np.lib.stride_tricks.sliding_window_view(part, len(span), axis=2)
        score = np.einsum("lbsw,lw->bs", windows, template)  # [B, shifts]
        beats = beats + shifts[score.argmax(axis=1)]
    part = x[:, beats[:, None] + span]
    part = part - part.mean(axis=2, keepdims=True)
    r = np.einsum("lbw,lw->b", part, template) / np.sqrt(
        np.einsum("lbw,lbw->b", part, part) * (template ** 2).sum() + 1e-12)
    whole = (beats >= BEFORE * rate) & (beats < ecg.shape[1] - AFTER * rate)
    return beats, whole & (r > .9)


def qrs_bounds(beat: np.ndarray, rate: float) -> tuple[int, int]:
    """First and last sample of the QRS of a beat.

    Args:
        beat: [12, W] mV, fiducial at `BEFORE`; rate: Hz.
    Returns:
        Onset and end, samples of the beat.
    Source: Laguna et al. 1994, one rule for all leads together.
    """
    x, middle = beat[EIGHT_ROWS], round(BEFORE * rate)
    step = max(1, round(.002 * rate))
    speed = np.zeros(x.shape[1])
    speed[step:-step] = np.sqrt(((x[:, 2 * step:] - x[:, :-2 * step]) ** 2).sum(axis=0))
    speed = moving_mean(moving_mean(speed, 2 * step + 1), 2 * step + 1)
    near = slice(middle - round(.08 * rate), middle + round(.08 * rate))
    noise = np.percentile(np.delete(speed[round(.02 * rate):-round(.02 * rate)],
                                    np.arange(near.start, near.stop)), 40)
    top = near.start + int(np.argmax(speed[near]))
    quiet = speed < max(QRS_SHARE * speed[top], 2.0 * noise)
    run = round(.010 * rate)
    still = np.convolve(quiet, np.ones(run), "valid") == run  # run of quiet from this sample on
    before = np.flatnonzero(still[:top - run + 1])
    after = np.flatnonzero(still[top:])
    onset = int(before[-1]) + run if len(before) else 0
    end = top + int(after[0]) - 1 if len(after) else x.shape[1] - 1
    return min(onset + step, top), max(end - step, top)  # the smoothing widens both flanks


def moving_mean(x: np.ndarray, width: int) -> np.ndarray:
    """Centred moving mean along the last axis, the ends padded with their own value.

    Args:
        x: [..., T]; width: samples.
    Returns:
        [..., T].
    """
    left = width // 2
    padding = [(0, 0)] * (x.ndim - 1) + [(left + 1, width - left - 1)]
    total = np.cumsum(np.pad(x, padding, mode="edge"), axis=-1)
    return (total[..., width:] - total[..., :-width]) / width


def _levelled(ecg: np.ndarray, beats: np.ndarray, normal: np.ndarray, place: int,
              rate: float) -> np.ndarray:
    """The normal beats [12, B, W], mV, each from its own zero.

    The level 20 ms around `place` (samples from the fiducial) is the zero of every beat, and the
    line from one beat's to the next is the zero between them.
    """
    half = round(.010 * rate)
    at = np.clip(beats + place, half, ecg.shape[1] - half - 1)  # [B]
    level = ecg[:, at[:, None] + np.arange(-half, half + 1)].mean(axis=2)  # [12, B]
    window = np.arange(-round(BEFORE * rate), round(AFTER * rate))
    rows = beats[normal][:, None] + window  # [b, W]
    following = np.clip(np.searchsorted(at, rows), 1, len(at) - 1)  # [b, W]
    share = np.clip((rows - at[following - 1]) / np.maximum(np.diff(at)[following - 1], 1), 0, 1)
    zero = level[:, following - 1] * (1 - share) + level[:, following] * share  # [12, b, W]
    return ecg[:, rows] - zero


def _component(x: np.ndarray, at: slice) -> np.ndarray:
    """First principal component of [8, n] in a window, its largest excursion made positive."""
    weight = np.linalg.svd(x[:, at], full_matrices=False)[0][:, 0]  # [8]
    wave = weight @ x
    inside = wave[at]
    return wave * np.sign(inside[np.argmax(np.abs(inside))])


def _tangent(wave: np.ndarray, first: int, last: int, rising: bool) -> float:
    """Where the steepest flank in [first, last] meets zero, in samples."""
    slope = np.gradient(wave)[first:last + 1] * (1 if rising else -1)
    steepest = first + int(np.argmax(slope))
    steep = max(float(slope.max()), 1e-9) * (1 if rising else -1)
    return steepest - wave[steepest] / steep


def _t_wave(beat: np.ndarray, end: int, rr: float, rate: float) -> tuple[int, int, int]:
    """First sample, peak and end of the T wave."""
    x = moving_mean(beat[EIGHT_ROWS], round(.012 * rate))
    begin = end + round(.04 * rate)
    stop = round((BEFORE + min(.60, .5 * rr ** (1 / 3) + .04)) * rate)
    stop = min(max(stop, begin + round(.12 * rate)), x.shape[1] - 1)
    wave = _component(x, slice(begin, stop))
    peak = begin + int(np.argmax(wave[begin:stop]))
    last = min(peak + round(.14 * rate), x.shape[1] - 2)
    finish = _tangent(wave, min(peak, last - 1), last, False)
    return begin, peak, round(min(max(finish, peak + 1), x.shape[1] - 1))


def _p_wave(beat: np.ndarray, shown: np.ndarray, onset: int, past_t: float,
            rate: float) -> dict[str, float]:
    """P duration, PR (ms), height (mV), terminal force in V1 (mV ms); NaN where no P is seen."""
    nothing = dict.fromkeys(("p_duration", "pr", "p_height", "p_terminal"), np.nan)
    stop = onset - round(.010 * rate)
    start = max(onset - round(.32 * rate), round(past_t + .02 * rate), 0)
    if stop - start < .09 * rate:
        return {**nothing, "p_seen": 0.0}
    x = moving_mean(beat[EIGHT_ROWS], round(.010 * rate))[:, start:stop]  # [8, n]
    edge = round(.012 * rate)
    ramp = np.linspace(0, 1, x.shape[1])
    first, last = x[:, :edge].mean(axis=1), x[:, -edge:].mean(axis=1)
    x = x - first[:, None] * (1 - ramp) - last[:, None] * ramp
    weight = np.linalg.svd(x, full_matrices=False)[0][:, 0]
    wave = weight @ x
    sign = np.sign(wave[np.argmax(np.abs(wave))])
    wave = sign * wave
    single = np.einsum("l,lbn->bn", sign * weight, shown[:, :, start:stop])  # [B, n]
    single = single - single.mean(axis=1, keepdims=True)
    spread = (single - np.median(single, axis=0)).std() / np.sqrt(len(single))
    peak = int(np.argmax(wave))
    if wave[peak] < 5 * spread or not edge < peak < len(wave) - edge:
        return {**nothing, "p_seen": 0.0}
    size = np.sqrt((x ** 2).sum(axis=0))  # all of the atria, not only what PC 1 sees
    size = size - min(size[:edge].mean(), size[-edge:].mean())
    reach, wave = round(.09 * rate), size
    begins = max(_tangent(wave, max(peak - reach, 1), peak, True), 0.0)
    ends = min(_tangent(wave, peak, min(peak + reach, len(wave) - 2), False), len(wave) - 1.0)
    late = beat[LEAD["V1"], start + (peak + int(begins)) // 2:start + int(ends) + 1]
    return {"p_duration": 1000 * (ends - begins) / rate, "p_seen": 1.0,
            "pr": 1000 * (onset - start - begins) / rate,
            "p_height": float(beat[LEAD["II"], start:stop].max()),
            "p_terminal": float(-np.minimum(late, 0).sum() * 1000 / rate)}


def _rhythm(beats: np.ndarray, normal: np.ndarray, rate: float) -> dict[str, float]:
    """Rate (bpm), SD of normal intervals (ms), CV and lag-1 correlation of all, odd beats."""
    rr = np.diff(beats) / rate  # [B - 1]
    inner = normal.copy()
    inner[[0, -1]] = True  # too near the border to tell
    early = np.append(False, rr < .8 * np.median(rr))
    odd = ~inner & (beats >= BEFORE * rate) & (beats < beats[-1])
    whole = rr[inner[1:] & inner[:-1]]
    whole = whole if len(whole) > 2 else rr
    centred = rr - rr.mean()
    lag = (centred[1:] @ centred[:-1]) / max(centred @ centred, 1e-12) if len(rr) > 3 else np.nan
    irregular = rr.std() / rr.mean() > .15 and early.sum() > 1
    return {"rate": 60 / rr.mean(), "rr_sd": 1000 * whole.std(), "rr_cv": rr.std() / rr.mean(),
            "rr_lag": lag, "ectopic": 0.0 if irregular else float((odd | early).any())}


def _per_lead(beat: np.ndarray, marks: tuple[int, int, int, int], rate: float) -> np.ndarray:
    """[7, 12]: rows `PER_LEAD`."""
    onset, end, t_begin, t_end = marks
    qrs, wave = beat[:, onset:end + 1], beat[:, t_begin:max(t_end, t_begin + 2)]
    top = qrs.argmax(axis=1)[:, None]
    index = np.arange(qrs.shape[1])
    down = np.maximum(-qrs, 0)
    q = np.where(index < top, down, 0).max(axis=1)
    s = np.where(index >= top, down, 0).max(axis=1)
    r = np.maximum(qrs.max(axis=1), 0)
    s = np.where(r < .03, np.maximum(q, s), s)  # a QS complex is an S
    q = np.where(r < .03, 0, q)
    t = np.take_along_axis(wave, np.abs(wave).argmax(axis=1)[:, None], axis=1)[:, 0]
    st = beat[:, end + round(.06 * rate)]
    scale = 1000 / rate
    return np.stack([q, r, s, t, st, scale * qrs.sum(axis=1), scale * wave.sum(axis=1)])


def _intervals(beat: np.ndarray, marks: tuple[int, int, int, int], rr: float,
               rate: float) -> dict[str, float]:
    """QRS, QT, QTc, R peak time in V5, T peak to end: ms."""
    onset, end, t_peak, t_end = marks
    qt = 1000 * (t_end - onset) / rate
    r_time = beat[LEAD["V5"], onset:end + 1].argmax()
    return {"qrs": 1000 * (end - onset) / rate, "qt": qt, "qtc": qt / rr ** (1 / 3),
            "r_time_v5": 1000 * r_time / rate, "tp_te": 1000 * (t_end - t_peak) / rate}


def _voltages(leads: np.ndarray) -> dict[str, float]:
    """Axes and their angle (degrees), Sokolow-Lyon and Cornell (mV)."""
    _, r, s, _, _, area, t_area = leads
    axis, t_axis = (float(np.degrees(np.arctan2(2 / np.sqrt(3) * a[5], a[0])))
                    for a in (area, t_area))
    return {"axis": axis, "t_axis": t_axis, "qrs_t": abs((axis - t_axis + 180) % 360 - 180),
            "sokolow": s[6] + max(r[10], r[11]), "cornell": r[4] + s[8]}


def _spatial_angle(beat: np.ndarray, marks: tuple[int, int, int]) -> float:
    """Angle (degrees) between the longest QRS and T vectors, by the inverse of Dower's matrix."""
    onset, end, t_peak = marks
    dipole = _TO_DIPOLE @ beat[EIGHT_ROWS]  # [3, W]
    length = np.linalg.norm(dipole[:, onset:end + 1], axis=0)
    r, t = dipole[:, onset + int(length.argmax())], dipole[:, t_peak]
    cosine = r @ t / max(np.linalg.norm(r) * np.linalg.norm(t), 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _q_waves(beat: np.ndarray, onset: int, end: int, rate: float) -> dict[str, float]:
    """Q area over all leads but aVR (mV ms), and whether a pathological Q wave is present."""
    area, wide, deep = 0.0, {}, {}
    for name in (lead for lead in LEADS if lead != "aVR"):
        qrs = beat[LEAD[name], onset:end + 1]
        up = np.flatnonzero(qrs > .05)
        before = qrs[:up[0]] if len(up) else qrs  # all of it is a QS complex
        negative = before < -.02
        area += 1000 / rate * float(-before[negative].sum())
        wide[name] = 1000 / rate * int(negative.sum())
        deep[name] = float(-before.min()) if len(before) else 0.0
    two = any(all(wide[n] >= 30 and deep[n] >= .1 for n in pair) for pair in _CONTIGUOUS)
    anterior = all(wide[n] >= 20 and deep[n] >= .1 for n in ("V2", "V3"))
    return {"q_area": area, "pathological_q": float(two or anterior)}
