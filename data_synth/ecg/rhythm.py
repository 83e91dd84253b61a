"""When the heart beats: sinus rhythm, ectopic beats, atrial fibrillation and its f waves.

    sinus         RR_k = 60 / HR + SDNN (.9 sin(2 pi .1 t + p1) + .9 sin(2 pi f_r t + p2) + drift)
    fibrillation  RR_k = .33 s + Gamma(5, (60 / HR - .33) / 5), successive intervals independent
    f wave        sum_{h=1..4} (A / h) sin(h phase),  phase = 2 pi f0 t + .3 sin(2 pi f_m t)

Glossary: RR, interval between beats (s); HR, heart rate (bpm); f_r, breathing rate (Hz); SDNN,
spread of RR (s); f0, f wave frequency (Hz); A, its amplitude in V1 (mV).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.cohort.format import SAMPLES, SAMPLING_RATE

MAX_BEATS = 32  # 10 s and a margin at 125 bpm and more
DURATION = SAMPLES / SAMPLING_RATE  # s
SHORTEST_RR = .33  # s
SINUS, ATRIAL, VENTRICULAR = 0, 1, 2  # kinds of beat
_F_WAVE_LEADS = np.array([.10, .40, 1.0, .55, .25, .12, .08, .06])  # I, II, V1..V6 relative to V1


class Draws(NamedTuple):
    """Every random number of the rhythm, drawn whether or not it is used."""

    phases: np.ndarray  # [6] uniform
    ectopy: np.ndarray  # [4] uniform
    gamma: np.ndarray  # [MAX_BEATS] Gamma(5, 1)
    drift: np.ndarray  # [MAX_BEATS] normal
    levels: np.ndarray  # [5] uniform
    f_frequency: float  # normal


class Beats(NamedTuple):
    """The beats of one record, some of them just outside it."""

    time: np.ndarray  # [B] s, R peaks
    rr: np.ndarray  # [B] s, interval before the beat
    kind: np.ndarray  # [B] SINUS, ATRIAL or VENTRICULAR
    breath: np.ndarray  # [B] breathing, -1..1


def draw(rng: np.random.Generator) -> Draws:
    """Draw all random numbers of one rhythm in a fixed order."""
    return Draws(rng.random(6), rng.random(4), rng.standard_gamma(5.0, MAX_BEATS),
                 rng.standard_normal(MAX_BEATS), rng.random(5), float(rng.standard_normal()))


def beats(draws: Draws, rate: float, fibrillation: bool, diabetes: float) -> Beats:
    """Times of the beats that touch the record.

    Args:
        draws: from `draw`.
        rate: mean heart rate, bpm.
        fibrillation: whether the atria fibrillate now.
        diabetes: 0..1; full diabetes divides the variability of sinus rhythm by 1.35.
    Returns:
        The beats from about one interval before the record to one after it.
    Source: McSharry et al. 2003 (10.1109/TBME.2003.808805) for the two breathing-rate terms; Erlang
        intervals in fibrillation: Alcaraz and Rieta 2008, Rev Esp Cardiol 61:154.
    """
    mean = 60 / rate
    breathing = breathing_rate(draws)
    sdnn = spread(draws) / (1 + .35 * diabetes)
    nominal = mean * np.arange(MAX_BEATS)  # [MAX_BEATS]
    if fibrillation:
        rr = SHORTEST_RR + draws.gamma * max(mean - SHORTEST_RR, .05) / 5
        kind = np.zeros(MAX_BEATS, int)
    else:
        slow = np.sin(2 * np.pi * (.1 * nominal + draws.phases[0]))
        fast = np.sin(2 * np.pi * (breathing * nominal + draws.phases[1]))
        drift = .35 * np.cumsum(draws.drift) / np.sqrt(np.arange(1, MAX_BEATS + 1))
        rr = mean + sdnn * (.9 * slow + .9 * fast + drift)
        rr, kind = _ectopy(rr, draws)
    time = np.cumsum(rr) - rr[0] - mean * (.2 + draws.phases[2])
    inside = time < DURATION + .45
    breath = np.sin(2 * np.pi * (breathing * time + draws.phases[3]))
    return Beats(time[inside], rr[inside], kind[inside], breath[inside])


def f_waves(draws: Draws) -> np.ndarray:
    """Fibrillatory waves in the eight independent leads.

    Args:
        draws: from `draw`.
    Returns:
        [8, 5000] float32, mV.
    Source: Stridh and Soernmo 2001 (sawtooth model); frequency 6.5 +- .8 Hz from Alcaraz and
        Rieta 2008.
    """
    t = np.arange(SAMPLES) / SAMPLING_RATE  # [5000]
    frequency = min(max(6.5 + .8 * draws.f_frequency, 4.0), 9.0)
    amplitude = .025 + .055 * draws.levels[2]
    modulation = np.sin(2 * np.pi * ((.1 + .1 * draws.levels[3]) * t + draws.phases[4]))
    phase = 2 * np.pi * (frequency * t + draws.phases[5]) + .3 * modulation
    wave = sum(amplitude / h * np.sin(h * phase) for h in range(1, 5))  # [5000]
    return (_F_WAVE_LEADS[:, None] * wave).astype(np.float32)  # [8, 5000]


def breathing_rate(draws: Draws) -> float:
    """Hz."""
    return float(.18 + .12 * draws.levels[0])


def spread(draws: Draws) -> float:
    """Standard deviation of sinus intervals without diabetes, s."""
    return float(.015 + .030 * draws.levels[1])


def ectopic_kind(draws: Draws) -> int:
    """Kind of the record's early beat in sinus rhythm: SINUS (none), ATRIAL or VENTRICULAR."""
    if draws.ectopy[0] >= .04:
        return SINUS
    return VENTRICULAR if draws.ectopy[3] < .6 else ATRIAL


def _ectopy(rr: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """About 4 % of records have one early beat: ventricular with a full pause, or atrial."""
    kind = np.zeros(len(rr), int)
    early_kind = ectopic_kind(draws)
    if early_kind == SINUS:
        return rr, kind
    beat = 2 + int(draws.ectopy[1] * 6)
    early = .52 + .2 * draws.ectopy[2]
    rr = rr.copy()
    kind[beat] = early_kind
    pause = (2 - early) if early_kind == VENTRICULAR else 1.05
    rr[beat + 1] = pause * rr[beat]
    rr[beat] = early * rr[beat]
    return rr, kind
