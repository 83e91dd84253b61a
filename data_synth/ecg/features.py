"""From physiology to the features of the electrocardiogram, with what hides it.

    x_c  = x_dem + c (x - x_dem)                     coupling c of every shared quantity x
    w_L  = 10 tanh((L - EF)+ / 10)                   weakness below L %, which saturates
    G    = (LVM / (103 | 72))^.42 exp(-.038 b + N(0, .27)) (1.06 | .97)
    axis = 30 - 2.6 b - .5 a - .12 s - 6 M - .4 w_60 + N(0, 19)                             degrees
    QRS  = 84 + 5 M + .07 (LVM - 86) + .045 (LVEDV - 148) + .05 a + .3 w_57 + .2 scar
           + N(0, 8), + 45 with left, + 35 with right bundle branch block                       ms
    T    = (60 / HR)^.35 exp(N(0, .28) - .02 w_55 - .005 s - .25 (LVMi / 47 - 1) - .03 scar
           - .08 DM) (1.1 | .9)
    P    = 112 + 4 M + .25 a + 10 AF + .25 b + N(0, 10)                                          ms
    strain = .35 (LVMi - (62 | 50))+ / 10 (.9 + N(0, .9))+
    QT   = QTc RR^(1/3),  QTc = N(416 | 426, 16.5)                                               ms
    T peak to end = 94 exp(N(0, .12))                                                            ms
    P(Q wave | MI) = sigmoid((scar - 11.8) / 2.5)

and weaker edges, so that shape too carries size, function and disease:

    turn of QRS (degrees) = .05 (LVMi - 47) + N(0, 9)
    turn of T (degrees)   = -.08 (LVMi - 47) - w_60 + N(0, 6)
    axis of T (degrees)   = .62 (axis - 30) + N(0, 8.5)
    septum     = exp(-.02 w_60 + N(0, .3));   base = (RVEDV / (176 | 130))^.5 exp(N(0, .3))
    P terminal = exp(.45 AF + .007 (LVMi - 47) + .02 w_60 + N(0, .35))

A record z-scored by lead group keeps no millivolts, so G acts on the left ventricular wall alone:
it changes the ratios R/P, R/T, R/q and the balance of the chest leads, not only a scale.

Glossary: M man, a = age - 64, b = BMI - 26.5, s = SBP - 137; (x)+ = max(x, 0); (x | y) men | women;
LVMi, mass per body surface (g/m2); x_dem, what demographics alone predict; c, coupling; G voltage
gain; QTc, QT at 60 bpm after Fridericia; scar, infarct size in % of the left ventricle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from data_synth.heart.physiology import RATE_SD, expected

# Private variation of the features, which hides physiology: SD at ecg_noise = 1
PRIVATE_SD = {
    "log_voltage": .27, "axis": 19.0, "turn": 9.0, "qrs": 8.0, "log_septum": .30, "log_base": .30,
    "log_t": .28, "t_axis": 8.5, "t_turn": 6.0, "log_t_width": .12, "log_p": .20,
    "p_duration": 10.0, "log_terminal": .35, "pr": 20.0, "qtc": 16.5, "st": .02, "strain": .9,
    "q_depth": .3}
SWITCHES = ("af_now", "lbbb", "rbbb", "q_wave")
_GRADED = ("scar_size", "scar_transmurality", "dm", "dcm", "af")  # 0 in a healthy heart
_QRS_GAIN = .77  # the published kernels are taller than an average adult's QRS
_T_GAIN = .62  # and so are their T waves


@dataclass(frozen=True)
class Features:
    """What the record is built from."""

    rate: float  # bpm
    gain: float  # amplitude of the left ventricular wall, 1 = the published kernels
    septum: float  # the same of the septum
    base: float  # and of the base and the right ventricle
    axis: float  # degrees, frontal
    turn: float  # degrees, horizontal, positive backwards
    qrs: float  # s
    pr: float  # s
    qtc: float  # s
    p_duration: float  # s
    p_height: float  # 1 = average
    p_terminal: float  # backward force of the left atrium, 1 = average
    t_gain: float  # 1 = the published kernels
    t_axis: float  # degrees that T turns in the frontal plane
    t_turn: float  # degrees that T turns backwards
    t_width: float  # duration of T, 1 = average
    strain: float  # 0 none, 1 T against the QRS
    st: float  # mV along the QRS
    fibrillation: bool
    left_block: bool
    right_block: bool
    q_wave: float  # mV towards the scar, lost early in the QRS
    scar_t: float  # mV away from the scar in the T wave
    territory: int  # 0 none, 1 LAD, 2 LCx, 3 RCA
    diabetes: float  # 0..1


def couple(latents: dict[str, float], uniform: dict[str, float], rate_normal: float,
           coupling: float) -> dict[str, float]:
    """The physiology that the record may show.

    Args:
        latents: from `physiology.sample`, with the realised lvedv (ml), lvm (g), lvef (%), rvedv.
        uniform: private numbers in [0, 1), one for each of `SWITCHES`: whether it is expressed.
        rate_normal: private standard normal number, heart rate that physiology does not explain.
        coupling: c, 0..1.
    Returns:
        Demographics unchanged; every other quantity x_dem + c (x - x_dem); fibrillation and bundle
        branch blocks kept with probability c; Q waves with probability c P(Q | scar); lvmi (g/m2).
    Source: P(Q | MI) makes about 40 % of infarcts Q-wave infarcts, as by late enhancement.
    """
    x = expected(latents)
    stroke = x["lvedv_target"] * x["ef_target"] / 100
    x.update(lvedv=x["lvedv_target"], lvm=x["lvm_target"], lvef=x["ef_target"],
             rvedv=stroke * .985 / (.54 if x["male"] > .5 else .58))
    for name in ("lvedv", "lvm", "lvef", "rvedv", "heart_rate", *_GRADED):
        x[name] += coupling * (latents[name] - x[name])
    x["heart_rate"] += math.sqrt(1 - coupling ** 2) * RATE_SD * rate_normal
    for switch in ("af_now", "lbbb", "rbbb"):
        x[switch] = latents[switch] * float(uniform[switch] < coupling)
    q_chance = latents["mi"] / (1 + math.exp((11.8 - latents["scar_size"]) / 2.5))
    x["q_wave"] = float(uniform["q_wave"] < coupling * q_chance)
    x["scar_territory"] = latents["scar_territory"] if coupling > 0 else 0.0
    weight = x["bmi"] * (x["height"] / 100) ** 2
    x["lvmi"] = x["lvm"] / math.sqrt(x["height"] * weight / 3600)
    return x


def features(x: dict[str, float], normal: dict[str, float], ecg_noise: float) -> Features:
    """The features of one record.

    Args:
        x: physiology from `couple`.
        normal: private standard normal numbers, one for each of `PRIVATE_SD`.
        ecg_noise: factor on the standard deviations `PRIVATE_SD`.
    Returns:
        The features.
    Source: the equations at the head of this file; amplitudes and intervals to Angelaki et al.
        2020 (PMC8678829, table 1); P terminal force and fibrillation: 10.1093/europace/euad014.
    """
    n = {name: ecg_noise * sd * normal[name] for name, sd in PRIVATE_SD.items()}
    qrs, rate = _qrs_duration(x, n), min(max(x["heart_rate"], 36.0), 125.0)
    turn = n["turn"] + .05 * (x["lvmi"] - 47)
    t_axis, t_turn = _t_angles(x, n)
    terminal = n["log_terminal"] + .45 * x["af"] + .007 * (x["lvmi"] - 47) + .02 * _weak(x, 60)
    qtc = _by_sex(x, 416, 426) + n["qtc"] + .05 * (x["lvmi"] - 47) + 4 * x["dm"] + .5 * max(
        qrs - 105, 0)
    return Features(
        rate=rate, gain=_QRS_GAIN * _voltage(x, n),
        septum=_QRS_GAIN * _ratio(n["log_septum"] - .02 * _weak(x, 60)),
        base=_QRS_GAIN * (x["rvedv"] / _by_sex(x, 176, 130)) ** .5 * _ratio(n["log_base"]),
        axis=_axis(x, n), turn=turn, qrs=qrs / 1000,
        pr=min(max(150 + .3 * (x["age"] - 64) + n["pr"], 110.0), 280.0) / 1000,
        qtc=min(max(qtc, 320.0), 560.0) / 1000,
        p_duration=_p_duration(x, n) / 1000, p_height=_ratio(n["log_p"]),
        p_terminal=_ratio(terminal), t_gain=_T_GAIN * _t_amplitude(x, n),
        t_axis=t_axis, t_turn=t_turn, t_width=_ratio(n["log_t_width"]), strain=_strain(x, n),
        st=n["st"], fibrillation=x["af_now"] > .5, left_block=x["lbbb"] > .5,
        right_block=x["rbbb"] > .5, q_wave=_q_depth(x, n), scar_t=.012 * x["scar_size"],
        territory=int(x["scar_territory"]), diabetes=x["dm"])


def _ratio(log: float) -> float:
    """exp, between 1/20 and 4.5: six standard deviations of what is seen at ecg_noise = 1."""
    return math.exp(min(max(log, -3.0), 1.5))


def _by_sex(x: dict[str, float], man: float, woman: float) -> float:
    return man if x["male"] > .5 else woman


def _weak(x: dict[str, float], limit: float) -> float:
    """How far the ejection fraction lies below a limit, %; saturates towards 10."""
    return 10 * math.tanh(max(limit - x["lvef"], 0.0) / 10)


def _voltage(x: dict[str, float], n: dict[str, float]) -> float:
    mass = (x["lvm"] / _by_sex(x, 103, 72)) ** .42
    return mass * _ratio(-.038 * (x["bmi"] - 26.5) + n["log_voltage"]) * _by_sex(x, 1.06, .97)


def _axis(x: dict[str, float], n: dict[str, float]) -> float:
    """Frontal axis, degrees; body size moves the diaphragm and turns the heart horizontal."""
    return (30 - 2.6 * (x["bmi"] - 26.5) - .5 * (x["age"] - 64) - .12 * (x["sbp"] - 137)
            - 6 * x["male"] - .4 * _weak(x, 60) + n["axis"])


def _qrs_duration(x: dict[str, float], n: dict[str, float]) -> float:
    """QRS duration, ms."""
    block = 45 * x["lbbb"] + 35 * x["rbbb"]
    duration = (84 + 5 * x["male"] + .07 * (x["lvm"] - 86) + .045 * (x["lvedv"] - 148)
                + .05 * (x["age"] - 64) + .3 * _weak(x, 57) + .2 * x["scar_size"] + n["qrs"])
    return min(max(duration, 62.0), 160.0) + block


def _p_duration(x: dict[str, float], n: dict[str, float]) -> float:
    """P duration, ms."""
    duration = (112 + 4 * x["male"] + .25 * (x["age"] - 64) + 10 * x["af"]
                + .25 * (x["bmi"] - 26.5) + n["p_duration"])
    return min(max(duration, 70.0), 170.0)


def _t_amplitude(x: dict[str, float], n: dict[str, float]) -> float:
    """T amplitude relative to a healthy person's at 60 bpm."""
    exponent = (n["log_t"] - .02 * _weak(x, 55) - .005 * (x["sbp"] - 137)
                - .25 * (x["lvmi"] / 47 - 1) - .03 * x["scar_size"] - .08 * x["dm"])
    return (60 / max(x["heart_rate"], 36.0)) ** .35 * _ratio(exponent) * _by_sex(x, 1.1, .9)


def _t_angles(x: dict[str, float], n: dict[str, float]) -> tuple[float, float]:
    """Turn of T in the frontal plane (half of the QRS's, and private) and backwards, degrees."""
    frontal = .62 * (_axis(x, n) - 30) + n["t_axis"]
    return frontal, n["t_turn"] - .08 * (x["lvmi"] - 47) - 1.0 * _weak(x, 60)


def _strain(x: dict[str, float], n: dict[str, float]) -> float:
    """T against the QRS in hypertrophy; many hypertrophied hearts show none."""
    return .35 * max(x["lvmi"] - _by_sex(x, 62, 50), 0) / 10 * min(max(.9 + n["strain"], 0), 2.5)


def _q_depth(x: dict[str, float], n: dict[str, float]) -> float:
    """Dipole towards the scar that the early QRS loses, mV; small without a Q wave."""
    lost = .91 * x["q_wave"] + (.010 - .008 * x["q_wave"]) * x["scar_size"]
    return lost * x["scar_transmurality"] * _ratio(n["q_depth"])
