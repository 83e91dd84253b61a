"""The twelve-lead electrocardiogram of one subject, rendered from its features.

    lead = L R_b (QRS + T + P) + local + noise, faults;  then III, aVR, aVL, aVF from I and II
    QRS  = G wall + septum + base [+ terminal force of right block] - scar
    T    = gain R_T T_0 - strain |T_0| q + ST q + T away from the scar      [against QRS in blocks]

Glossary: L [8, 3], lead field; R_b, rotation with breathing at beat b; q, direction of the QRS
(area vector); R_T, rotation of T; T_0, the published T wave; G, voltage gain; private, what belongs
to this record alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from data_synth.ecg import electrodes, rhythm, waves
from data_synth.ecg.features import PRIVATE_SD, SWITCHES, Features, couple, features
from data_synth.ecg.leads import EIGHT, LEAD_FIELD_DRAWS, electrode_noise, lead_field, twelve_leads
from data_synth.ecg.waves import Kernels

MAX_NOISE = 4.0  # ecg_noise beyond this would only leave the range of any recorder
_BASE_AXIS = 20.0  # degrees, frontal axis of the published kernels as measured by QRS area
_TOWARDS_SCAR = np.array(  # unit-free directions: none, LAD, LCx, RCA
    [[0, 0, 0], [.25, .10, -.95], [.90, -.15, .35], [.10, .95, .25]])
_TERMINAL_RIGHT = np.array([-.42, -.02, -.50])  # mV, late force of right bundle branch block
_RIGHT_BLOCK_DELAY = .035  # s, that the late force adds to the QRS
_LOCAL_QRS, _LOCAL_T = .250, .035  # mV, non-dipolar amplitude in a chest lead
_LOCAL_KERNELS = 4  # one in each quarter of the middle of the QRS
_LOCAL_LEADS = np.array([.35, .35, 1, 1, 1, 1, .8, .6])  # I, II, V1..V6
_FEATURE_LATENTS = [(f"ecg_{name}", name, sd) for name, sd in PRIVATE_SD.items()]
_FIELD_LATENTS = [*(f"field_{lead}_{axis}" for lead in EIGHT for axis in "xyz"),
                  "field_shift", "field_up", "field_limb", "field_chest"]
_JITTER = .03  # relative, amplitude from beat to beat
_BREATH = 4.0  # degrees, rotation of the heart with breathing


class Private(NamedTuple):
    """All random numbers of one record; none depends on physiology or coupling."""

    normal: dict[str, float]  # for PRIVATE_SD
    uniform: dict[str, float]  # for SWITCHES
    rate: float  # normal
    field: np.ndarray  # [28] normal: lead field
    local: np.ndarray  # [5, 8] normal: lead patterns of the non-dipolar kernels, the last for T
    local_time: np.ndarray  # [4] uniform
    jitter: np.ndarray  # [MAX_BEATS, 2] normal: QRS and T amplitude
    ectopic: np.ndarray  # [3] normal: direction of a ventricular ectopic beat
    rhythm: rhythm.Draws
    noise: np.ndarray  # [8, 5000] mV
    faults: electrodes.Faults


def render(latents: dict[str, float], rng: np.random.Generator, coupling: float = 1.0,
           ecg_noise: float = 1.0) -> np.ndarray:
    """The electrocardiogram of one subject.

    Args:
        latents: from `physiology.sample`, with the realised lvedv (ml), lvm (g), lvef (%), rvedv.
        rng: the subject's "ecg" stream.
        coupling: 0..1; how much of the shared physiology beyond demographics is expressed.
        ecg_noise: factor on the private variation of the features (not on recording noise);
            saturates at `MAX_NOISE`.
    Returns:
        [12, 5000] float32, mV at 500 Hz; leads I II III aVR aVL aVF V1..V6.
    """
    return trace(latents, draw_private(rng), coupling, ecg_noise)


def trace(latents: dict[str, float], private: Private, coupling: float = 1.0,
          ecg_noise: float = 1.0) -> np.ndarray:
    """The electrocardiogram of one subject from its private numbers.

    Args:
        latents, coupling, ecg_noise: as in `render`; private: from `draw_private`.
    Returns:
        [12, 5000] float32, mV, as from `render`.
    Source: dipole after Sameni et al. 2007 (10.1155/2007/43407), leads after Dower et al. 1980.
    """
    ecg_noise = min(ecg_noise, MAX_NOISE)
    shown = couple(latents, private.uniform, private.rate, coupling)
    feature = features(shown, private.normal, ecg_noise)
    beats = rhythm.beats(private.rhythm, feature.rate, feature.fibrillation, feature.diabetes)
    record = waves.canvas()
    field = electrodes.misplace(lead_field(private.field, ecg_noise), private.faults)
    _draw_beats(record, field, feature, private, beats, ecg_noise)
    _draw_ectopic_beats(record, field, feature, private, beats)
    eight = waves.cut(record) + private.noise  # [8, 5000]
    if feature.fibrillation:
        eight += rhythm.f_waves(private.rhythm)
    return twelve_leads(electrodes.spoil(eight, private.faults))  # [12, 5000]


def draw_private(rng: np.random.Generator) -> Private:
    """Draw every random number of the record, in an order that nothing changes."""
    return Private(
        normal=dict(zip(PRIVATE_SD, rng.standard_normal(len(PRIVATE_SD)).tolist(), strict=True)),
        uniform=dict(zip(SWITCHES, rng.random(len(SWITCHES)).tolist(), strict=True)),
        rate=float(rng.standard_normal()), field=rng.standard_normal(LEAD_FIELD_DRAWS),
        local=rng.standard_normal((_LOCAL_KERNELS + 1, 8)), local_time=rng.random(_LOCAL_KERNELS),
        jitter=rng.standard_normal((rhythm.MAX_BEATS, 2)), ectopic=rng.standard_normal(3),
        rhythm=rhythm.draw(rng), noise=electrode_noise(rng), faults=electrodes.draw(rng))


def private_latents(private: Private) -> dict[str, float]:
    """Draws -> what belongs to the record alone, by name, at ecg_noise 1; units in `latents`."""
    named = {name: sd * private.normal[feature] for name, feature, sd in _FEATURE_LATENTS}
    named.update(zip(_FIELD_LATENTS, private.field.tolist(), strict=True))
    draws = private.rhythm
    named.update(
        ecg_rate=private.rate, local_qrs=math.sqrt(np.square(private.local[:-1]).mean()),
        local_t=math.sqrt(np.square(private.local[-1]).mean()),
        breathing_rate=rhythm.breathing_rate(draws), rr_spread=1000 * rhythm.spread(draws),
        ectopic_beat=float(rhythm.ectopic_kind(draws)), cables=float(private.faults.cables),
        chest_misplaced=float(private.faults.chest), burst=float(private.faults.burst))
    return named


def ventricles(feature: Features) -> Kernels:
    """The QRS kernels of one record: conduction, gains, axis, blocks and scar.

    Args:
        feature: the record's features.
    Returns:
        4 to 13 kernels, centres [K] s after the R peak, vectors [3, K] mV.
    """
    turn = waves.rotation(feature.axis - _BASE_AXIS, feature.turn)
    if feature.left_block:
        qrs = waves.left_block_kernels(feature.qrs, feature.gain)
        onset = -.45 * feature.qrs
    else:
        normal = feature.qrs - _RIGHT_BLOCK_DELAY * feature.right_block
        parts = waves.Parts(feature.gain, feature.septum, feature.base)
        qrs = waves.qrs_kernels(normal, parts)
        onset = waves.ONSET * normal / waves.QRS_NATURAL
    qrs = qrs._replace(vector=turn @ qrs.vector)
    scar = -feature.q_wave * _TOWARDS_SCAR[feature.territory]
    groups = [qrs, Kernels(np.array([onset + .020]), np.array([.0095]), scar[:, None])]
    if feature.right_block:
        end = onset + feature.qrs
        groups.append(Kernels(np.array([end - .026]), np.array([.014]),
                              feature.base * _TERMINAL_RIGHT[:, None]))
    return waves.join(*groups)


def repolarisation(feature: Features, qrs: Kernels, t_peak: np.ndarray) -> Kernels:
    """The ST-T kernels of one record.

    Args:
        feature: the record's features.
        qrs: kernels from `ventricles`.
        t_peak: [B] s after the R peak.
    Returns:
        9 kernels, centres [B, 9], vectors [3, 9] mV: the published ones and one of the ST segment.
    """
    t = waves.t_kernels(t_peak, feature.t_width)
    area = qrs.vector @ qrs.width  # [3] mV s
    along = area / max(math.sqrt(area @ area), 1e-9)  # [3]
    size = np.linalg.norm(t.vector, axis=0)  # [8]
    against = feature.strain + .9 * feature.left_block + .5 * feature.right_block
    vector = feature.t_gain * (waves.rotation(feature.t_axis, feature.t_turn) @ t.vector
                               - against * along[:, None] * size)
    away = -feature.scar_t * _TOWARDS_SCAR[feature.territory]  # turns T, not the ST segment
    vector[:, waves.T_PEAKS] += .6 * away[:, None]
    segment = (feature.st - .07 * feature.strain - .10 * feature.left_block) * along  # [3]
    centre = np.concatenate([t.centre, .45 * t_peak[:, None]], axis=1)  # [B, 9]
    return Kernels(centre, np.concatenate([t.width, [.035]]),
                   np.concatenate([vector, segment[:, None]], axis=1))


def _draw_beats(record: np.ndarray, field: np.ndarray, feature: Features, private: Private,
                beats: rhythm.Beats, ecg_noise: float) -> None:
    """Add P, QRS and T of all conducted beats."""
    own = beats.kind != rhythm.VENTRICULAR
    time, jitter = beats.time[own], 1 + _JITTER * private.jitter[:len(beats.time)][own]
    turned = _breathing(field, beats.breath[own])  # [B, 8, 3]
    qrs = ventricles(feature)
    t_peak = _t_peak(feature, beats.rr[own])  # [B]
    t = repolarisation(feature, qrs, t_peak)
    local_qrs, local_t = _local(feature, private, ecg_noise)
    count = len(time)
    qrs_all = Kernels(np.append(qrs.centre, local_qrs.centre),
                      np.append(qrs.width, local_qrs.width), qrs.vector)
    local = np.broadcast_to(local_qrs.vector, (count, *local_qrs.vector.shape))  # [B, 8, 4]
    amplitude = np.concatenate([turned @ qrs.vector, local], axis=2)
    waves.place(record, qrs_all, amplitude * jitter[:, :1, None], time)
    amplitude = turned @ t.vector  # [B, 8, 9]
    amplitude[:, :, waves.T_PEAKS[0]] += local_t
    waves.place(record, t, amplitude * jitter[:, 1:, None], time)
    if not feature.fibrillation:
        onset = float(qrs.centre[0] - 2.3 * qrs.width[0]) - feature.pr
        p = waves.p_kernels(onset, feature.p_duration, feature.p_height, feature.p_terminal)
        waves.place(record, p, turned @ p.vector, time)


def _draw_ectopic_beats(record: np.ndarray, field: np.ndarray, feature: Features,
                        private: Private, beats: rhythm.Beats) -> None:
    """Add ventricular ectopic beats: wide, no P wave, T against the QRS."""
    own = beats.kind == rhythm.VENTRICULAR
    if not own.any():
        return
    turn = waves.rotation(60 * private.ectopic[0], 60 * private.ectopic[1])
    qrs = waves.left_block_kernels(.155, 1.3 * np.exp(.2 * private.ectopic[2]))
    qrs = qrs._replace(vector=turn @ qrs.vector)
    t_peak = _t_peak(feature, beats.rr[own])  # [B]
    wave = -.45 * qrs.vector.mean(axis=1, keepdims=True)  # [3, 1]
    t = Kernels(t_peak[:, None], np.array([.055]), wave)
    for kernels in (qrs, t):
        amplitude = np.broadcast_to(field @ kernels.vector, (own.sum(), 8, len(kernels.width)))
        waves.place(record, kernels, amplitude, beats.time[own])


def _t_peak(feature: Features, rr: np.ndarray) -> np.ndarray:
    """Time of the T peak after the R peak of each beat, s; QT follows RR with memory."""
    effective = .7 * 60 / feature.rate + .3 * np.clip(rr, .35, 1.8)
    qt = feature.qtc * effective ** (1 / 3)
    to_end = waves.T_PEAK_TO_END * feature.t_width
    return qt - to_end - .4 * feature.qrs  # QT begins before the R peak


def _breathing(field: np.ndarray, breath: np.ndarray) -> np.ndarray:
    """Lead fields of all beats, the heart turned by breathing, [B, 8, 3]."""
    return field @ waves.rotation(_BREATH * breath, .5 * _BREATH * breath)


def _local(feature: Features, private: Private, ecg_noise: float) -> tuple[Kernels, np.ndarray]:
    """Non-dipolar activity: four brief QRS kernels and a T amplitude in each lead, mV."""
    pattern = ecg_noise * private.local * _LOCAL_LEADS  # [5, 8]
    place = (np.arange(_LOCAL_KERNELS) + private.local_time) / _LOCAL_KERNELS  # [4], 0..1
    centre = (place - .45) * .8 * feature.qrs
    width = np.full(_LOCAL_KERNELS, .075 * feature.qrs)
    return Kernels(centre, width, _LOCAL_QRS * pattern[:-1].T), _LOCAL_T * pattern[-1]
