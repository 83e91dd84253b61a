"""The latent physiology that a subject's electrocardiogram and heart image share.

M = 1 for men, F = 1 - M, a = age - 64, b = BMI - 26.5, s = SBP - 137, and u, c, e, r ~ N(0, 1):

    LVEDV = (160 (height/176)^1.3 | 125 (height/163)^1.3)
            exp(.145 u - .006 (HR - 63) - .004 a + .0112 b + .0025 s - .05 DM + .006 scar + .35 DCM)
    LVM   = LVEDV (.625 | .575) exp(.105 c - .045 u + .0022 (HR - 63) + .0012 s + .003 a + .0075 b
            + .04 DM - .10 DCM)
    LVEF  = (58.3 | 61) + 4.6 e - .9 u + .6 c - .55 scar - DM - 20 DCM - 5 AFnow - .04 (HR - 63)
    HR    = N(62, 9.5) + 1.5 F + 4 DM + .25 b + 12 AFnow
    logit P(DM)  = -3.55 + .55 M + .04 a + .13 b
    logit P(CAD) = -3.55 + 1.1 M + .075 a + .03 b + .6 DM + .012 s;   P(MI | CAD) = .42
    logit P(AF)  = -4.35 + .6 M + .09 a + .05 b + .5 CAD + 1.5 DCM;   P(AFnow | AF) = .35
    RVSV / LVSV = N(.985, .05) + .02 r;   RVEF = (54 | 58) + .55 (LVEF - (58 | 61)) + 5.4 r

(x | y) is men | women. Glossary: u heart size, c concentricity, e contractility, r
contractility of the right ventricle; LVEDV
end-diastolic volume (ml), LVM mass (g), LVEF ejection fraction (%), HR heart rate (bpm), SV stroke
volume; DM diabetes, CAD coronary disease, MI infarct, AF atrial fibrillation (history), AFnow
fibrillation in this recording, DCM dilated cardiomyopathy; scar, infarct size in % of the left
ventricle.
"""

from __future__ import annotations

import math

import numpy as np

from data_synth.streams import generator

DEMOGRAPHICS = ("male", "age", "height", "bmi", "sbp")
NAMES = (  # every latent of `sample`, in its order
    *DEMOGRAPHICS[:3], "weight", "bmi", "bsa", "sbp", "dm", "cad", "mi", "af", "af_now", "dcm",
    "scar_size", "scar_territory", "scar_transmurality", "heart_rate", "size_u",
    "concentricity_c", "contractility_e", "lvedv_target", "lvm_target", "ef_target",
    "longitudinal_strain", "rv_sv_ratio", "rv_ef_target", "lbbb", "rbbb")
RATE_SD = 9.5  # bpm, spread of the resting heart rate given everything else
TERRITORIES = {1: "LAD, anterior", 2: "LCx, lateral", 3: "RCA, inferior"}
_TERRITORY_BOUNDS = (.45, .65)  # cumulative probabilities: LAD .45, LCx .20, RCA .35


def sample(subject: int, seed: int) -> dict[str, float]:
    """Draw the physiology of one subject.

    Every random number is drawn in a fixed order, whether or not it is used.

    Args:
        subject: the subject's number.
        seed: the seed of the "physiology" stream.
    Returns:
        name -> value: male, age (years), height (cm), weight (kg), bmi (kg/m2), bsa (m2), sbp
        (mmHg), heart_rate (bpm; during fibrillation the mean ventricular rate), dm, cad, mi, af,
        af_now, dcm, lbbb, rbbb (0 or 1), size_u, concentricity_c, contractility_e (standard
        normal), scar_size (% of the left ventricle, 0 without infarct), scar_territory (0 none,
        1 LAD, 2 LCx, 3 RCA), scar_transmurality (0..1), lvedv_target (ml), lvm_target (g),
        ef_target (%), longitudinal_strain (fraction, negative), rv_sv_ratio, rv_ef_target (%).
    Raises:
        TypeError, ValueError: from `streams.generator`.
    Source: distributions chosen to meet Petersen et al. 2017 (10.1371/journal.pone.0185114 and
        10.1186/s12968-017-0327-9), Jensen et al. 2019 (PMC7099857) and the equations above.
    """
    rng = generator(seed, subject, "physiology")
    z = rng.standard_normal(12).tolist()
    r = rng.random(10).tolist()
    gamma = float(rng.standard_gamma(2.0))
    person = _demographics(z[:4], r[0])
    person.update(_diseases(person, r[1:6]))
    person.update(_scar(person, r[6], z[4], gamma))
    person["heart_rate"] = min(max(resting_rate(person) + RATE_SD * z[5], 36.0), 125.0)
    person.update(size_u=z[6], concentricity_c=z[7], contractility_e=z[8])
    person.update(heart_targets(person))
    person["longitudinal_strain"] = _longitudinal_strain(person, z[9])
    person.update(_right_ventricle(person, z[10], z[11]))
    person.update(_bundle_branches(person, r[7], r[8]))
    return person


def expected(person: dict[str, float]) -> dict[str, float]:
    """What the demographics alone say about the heart: `person` with mean draws and no disease.

    Args:
        person: at least male, age, height, bmi, sbp.
    Returns:
        The demographics, heart_rate, size_u .. contractility_e = 0, diseases and scar 0, and the
        resulting lvedv_target, lvm_target, ef_target.
    Source: the equations at the head of this file.
    """
    mean = {name: person[name] for name in DEMOGRAPHICS}
    mean.update(dict.fromkeys(("dm", "cad", "mi", "af", "af_now", "dcm", "lbbb", "rbbb"), 0.0))
    mean.update(scar_size=0.0, scar_territory=0.0, scar_transmurality=0.0)
    mean.update(size_u=0.0, concentricity_c=0.0, contractility_e=0.0)
    mean["heart_rate"] = resting_rate(mean)
    mean.update(heart_targets(mean))
    return mean


def resting_rate(person: dict[str, float]) -> float:
    """Mean heart rate (bpm) given sex, BMI, diabetes and present fibrillation."""
    return (62.0 + 1.5 * (1.0 - person["male"]) + .25 * (person["bmi"] - 26.5)
            + 4.0 * person["dm"] + 12.0 * person["af_now"])


def heart_targets(person: dict[str, float]) -> dict[str, float]:
    """End-diastolic volume, mass and ejection fraction that the geometry is asked to realise.

    Args:
        person: demographics, heart_rate, diseases, scar_size, size_u, concentricity_c and
            contractility_e.
    Returns:
        lvedv_target (ml), lvm_target (g), ef_target (%).
    Source: the equations at the head of this file.
    """
    man = person["male"] > .5
    a, b, s = person["age"] - 64, person["bmi"] - 26.5, person["sbp"] - 137
    u, c, e = person["size_u"], person["concentricity_c"], person["contractility_e"]
    dm, dcm, scar = person["dm"], person["dcm"], person["scar_size"]
    size = 160 * (person["height"] / 176) ** 1.3 if man else 125 * (person["height"] / 163) ** 1.3
    lvedv = size * math.exp(.145 * u - .006 * (person["heart_rate"] - 63) - .004 * a + .0112 * b
                            + .0025 * s - .05 * dm + .006 * scar + .35 * dcm)
    lvm = lvedv * (.625 if man else .575) * math.exp(
        .105 * c - .045 * u + .0022 * (person["heart_rate"] - 63) + .0012 * s + .003 * a + .0075 * b
        + .04 * dm - .10 * dcm)
    ef = ((58.3 if man else 61.0) + 4.6 * e - .9 * u + .6 * c - .55 * scar - dm - 20 * dcm
          - 5 * person["af_now"] - .04 * (person["heart_rate"] - 63))
    return {"lvedv_target": lvedv, "lvm_target": lvm, "ef_target": min(max(ef, 12.0), 78.0)}


def _demographics(z: list[float], r: float) -> dict[str, float]:
    """Sex, age, body size, blood pressure (Petersen et al. 2017, table 1); BSA after Mosteller."""
    man = r < .48
    age = min(max(64 + 7.7 * z[0], 45.0), 82.0)
    height = (176 + 7 * z[1]) if man else (163 + 6 * z[1])
    bmi = min(max((27.1 + 3.9 * z[2]) if man else (26.2 + 4.6 * z[2]), 16.0), 48.0)
    sbp = ((141 + 16 * z[3]) if man else (133 + 18 * z[3])) + .45 * (age - 64)
    sbp = min(max(sbp, 85.0), 210.0)
    weight = bmi * (height / 100) ** 2
    return {"male": float(man), "age": age, "height": height, "weight": weight, "bmi": bmi,
            "bsa": math.sqrt(height * weight / 3600), "sbp": sbp}


def _diseases(person: dict[str, float], r: list[float]) -> dict[str, float]:
    """Diabetes, dilated cardiomyopathy, coronary disease with infarct, fibrillation."""
    man, a, b, s = person["male"], person["age"] - 64, person["bmi"] - 26.5, person["sbp"] - 137
    dm = float(r[0] < _sigmoid(-3.55 + .55 * man + .04 * a + .13 * b))
    dcm = float(r[1] < .006)
    coronary = r[2] / _sigmoid(-3.55 + 1.1 * man + .075 * a + .03 * b + .6 * dm + .012 * s)
    cad, mi = float(coronary < 1), float(coronary < .42)  # given CAD the ratio is uniform
    af = float(r[3] < _sigmoid(-4.35 + .6 * man + .09 * a + .05 * b + .5 * cad + 1.5 * dcm))
    af_now = float(af and r[4] < .35)
    return {"dm": dm, "cad": cad, "mi": mi, "af": af, "af_now": af_now, "dcm": dcm}


def _scar(person: dict[str, float], r: float, z: float, gamma: float) -> dict[str, float]:
    """Infarct size Gamma(2, 5.5) %, its territory, and a transmurality that grows with size."""
    if not person["mi"]:
        return {"scar_size": 0.0, "scar_territory": 0.0, "scar_transmurality": 0.0}
    size = min(max(5.5 * gamma, 1.5), 40.0)
    territory = 1 + sum(r >= bound for bound in _TERRITORY_BOUNDS)
    transmurality = min(max(.40 + .022 * size + .15 * z, .15), 1.0)
    return {"scar_size": size, "scar_territory": float(territory),
            "scar_transmurality": transmurality}


def _longitudinal_strain(person: dict[str, float], z: float) -> float:
    """-16 % (men) or -18 %, in proportion to LVEF, weaker in concentric hearts (MacIver 2012)."""
    man = person["male"] > .5
    strain = (.16 if man else .18) * person["ef_target"] / (58.0 if man else 61.0)
    ratio = person["lvm_target"] / person["lvedv_target"] / (.625 if man else .575)
    return -min(max(strain - .07 * math.log(ratio) - .006 * person["dm"] + .010 * z, .03), .25)


def _right_ventricle(person: dict[str, float], z_ratio: float, z_ef: float) -> dict[str, float]:
    """Right-ventricular stroke volume over the left one, and ejection fraction."""
    man = person["male"] > .5
    ef = (54 if man else 58) + .55 * (person["ef_target"] - (58 if man else 61)) + 5.4 * z_ef
    return {"rv_sv_ratio": min(max(.985 + .05 * z_ratio + .02 * z_ef, .75), 1.25),
            "rv_ef_target": min(max(ef, 15.0), 78.0)}


def _bundle_branches(person: dict[str, float], r_left: float, r_right: float) -> dict[str, float]:
    """Left block .3 % (12 % where LVEF < 45 %); right block about 2.7 %, more in older men."""
    lbbb = float(r_left < (.12 if person["ef_target"] < 45 else .003))
    rbbb = float(r_right < _sigmoid(-3.79 + .42 * person["male"] + .03 * (person["age"] - 64)))
    return {"lbbb": lbbb, "rbbb": rbbb * (1 - lbbb)}


def _sigmoid(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-x)))
