"""A signal at another sampling rate, without what the new rate cannot hold.

    resampled:  y_n = sum_k x_k h(n r / r' - k),   r -> r' Hz, n r / r' in exact integers
                h(u) = c sinc(c u) kaiser(u / W),  c = cutoff / (r / 2), W = 64 / min(1, r' / r)

h is scaled so that its taps sum to 1 for every n (a constant stays the constant). Its pass band
ends at 0.92 and its stop band begins at 1.0 of the lower of the two Nyquist frequencies, 80 dB
down.

Glossary: T samples, r sampling rate (Hz), h low-pass filter, W half its length in input samples,
u distance in input samples.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from reference.cohort.format import RATES, SAMPLING_RATE

CROSSINGS = 64  # zero crossings of the filter on each side
KAISER = 7.86  # 80 dB
TRANSITION = 0.0785 * 64 / CROSSINGS  # width of the transition band over the Nyquist frequency
OUTPUTS_AT_ONCE = 256  # output samples filtered together
FEW_PHASES = 8  # up to this many, one Fourier product a phase is the faster way


def resample(ecg: np.ndarray, rate: float, to: float = float(SAMPLING_RATE)) -> np.ndarray:
    """Change the sampling rate, removing what the new rate cannot hold.

    Args:
        ecg: [..., T] floating, any unit; missing values (NaN) are bridged by straight lines.
        rate: sampling rate of ecg, Hz.
        to: wanted sampling rate, Hz.
    Returns:
        [..., floor(T to / rate)] in the same dtype and unit, sample 0 at the same instant. Beyond
        its ends the signal is continued by point reflection. A copy where the rates are equal.
    Raises:
        ValueError: T < 2, or a rate that cannot be one of an ECG.
        TypeError: ecg is not a floating NumPy array.
    """
    if not isinstance(ecg, np.ndarray) or ecg.dtype.kind != "f":
        raise TypeError(f"ecg must be a floating NumPy array, got "
                        f"{getattr(ecg, 'dtype', type(ecg).__name__)}")
    if ecg.ndim < 1 or ecg.shape[-1] < 2:
        raise ValueError(f"ecg must be [..., T] with T >= 2, got shape {ecg.shape}")
    for name, value in (("rate", rate), ("to", to)):
        if not RATES[0] <= value <= RATES[1]:
            raise ValueError(f"{name} must be in {RATES[0]:g}..{RATES[1]:g} Hz, got {value:g}")
    ratio = (Fraction(to) / Fraction(rate)).limit_denominator(10_000)
    if ratio == 1:
        return ecg.copy()
    filters, reach = _filters(ratio)  # [up, 2 reach]
    x = _bridged(ecg.reshape(-1, ecg.shape[-1]).astype(np.float64))  # [lanes, T]
    padded = np.pad(x, ((0, 0), (reach - 1, reach)), mode="reflect", reflect_type="odd")
    count = x.shape[-1] * ratio.numerator // ratio.denominator
    base, phase = np.divmod(np.arange(count) * ratio.denominator, ratio.numerator)
    y = np.empty((len(x), count))  # y_n lies phase / up after x_base
    apply = _filtered_fft if len(filters) <= FEW_PHASES else _filtered_windows
    apply(padded, filters, base, phase, y)
    return y.reshape(*ecg.shape[:-1], count).astype(ecg.dtype)


def _filtered_fft(padded: np.ndarray, filters: np.ndarray, base: np.ndarray, phase: np.ndarray,
                  y: np.ndarray) -> None:
    """Fill y [lanes, n]: one Fourier product over the whole record per phase of the filter."""
    size = _smooth(padded.shape[-1])  # what wraps around lands before the first output
    spectrum = np.fft.rfft(padded, size)  # [lanes, size / 2 + 1]
    for f, taps in enumerate(filters):
        whole = np.fft.irfft(spectrum * np.fft.rfft(taps[::-1], size), size)
        here = phase == f
        y[:, here] = whole[:, base[here] + filters.shape[1] - 1]


def _smooth(least: int) -> int:
    """The smallest 2^a 3^b 5^c that is at least `least`: a fast length for a Fourier transform."""
    powers = [3**b * 5**c for b in range(12) for c in range(8)]
    return min(q << max(0, -(-least // q) - 1).bit_length() for q in powers)


def _filtered_windows(padded: np.ndarray, filters: np.ndarray, base: np.ndarray, phase: np.ndarray,
                      y: np.ndarray) -> None:
    """The same, output sample by output sample: for ratios with many phases, and for checking."""
    windows = np.lib.stride_tricks.sliding_window_view(padded, filters.shape[1], axis=-1)
    for start in range(0, y.shape[1], OUTPUTS_AT_ONCE):
        part = slice(start, start + OUTPUTS_AT_ONCE)
        y[:, part] = np.einsum("lnk,nk->ln", windows[:, base[part]], filters[phase[part]])


def _filters(ratio: Fraction) -> tuple[np.ndarray, int]:
    """Taps for each of the places between two input samples, [up, 2 reach], and reach.

    Tap k of phase f weighs input sample base + k - reach + 1 for an output at base + f / up.
    """
    up = ratio.numerator
    narrow = min(1.0, float(ratio))  # lower Nyquist frequency over that of the input
    width = CROSSINGS / narrow
    reach = int(np.ceil(width)) + 1
    taps = np.arange(2 * reach) - reach + 1
    u = taps[None, :] - np.arange(up)[:, None] / up  # [up, 2 reach]
    cutoff = narrow * (1.0 - TRANSITION / 2)
    window = np.i0(KAISER * np.sqrt(np.clip(1.0 - (u / width) ** 2, 0.0, None))) \
        * (np.abs(u) <= width)
    h = np.sinc(cutoff * u) * window
    return h / h.sum(axis=1, keepdims=True), reach


def _bridged(x: np.ndarray) -> np.ndarray:
    """NaN replaced by the straight line between its neighbours (0 in a lane of NaN alone)."""
    for row in np.flatnonzero(np.isnan(x).any(axis=1)):
        seen = np.flatnonzero(~np.isnan(x[row]))
        x[row] = np.interp(np.arange(x.shape[1]), seen, x[row, seen]) if seen.size else 0.0
    return x
