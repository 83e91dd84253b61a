"""What a synthetic cohort should look like: every published range as one row of data.

    row = quantity, how it is measured, in whom, target as published, band low..high, source

A band around a published mean is a quarter of the population's SD to each side, and around a
published SD a quarter of it, unless studies disagree: then the band spans them. Columns are those
of `measurement.measure`: latents and phenotypes by name, `ecg.` measured on the trace, `mask.` on
the segmentation. Sources marked "knowledge" are the authors' recollection and the weakest.
`SECTIONS` has the rows by what they are about, `ROWS` all of them.

Glossary: ED, ES, ends of diastole and systole; LVMi, mass per body surface; WT, wall thickness;
AUC, area under the ROC curve; r, correlation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Table = dict[str, np.ndarray]  # column -> [N]


class Row(NamedTuple):
    """One line of the report."""

    quantity: str
    statistic: str  # a key of `statistics.STATISTICS`, or "model r", "model auc"
    columns: tuple[str, ...]
    group: str  # a key of `GROUPS`; "a | b" compares two
    target: str
    low: float
    high: float
    source: str
    unit: str = ""
    section: str = ""  # what the row is about, a key of `SECTIONS`


def _healthy(t: Table) -> np.ndarray:
    return np.sum([t[name] for name in ("dm", "cad", "af", "dcm", "lbbb", "rbbb")], axis=0) == 0


def _hypertrophy(t: Table) -> np.ndarray:
    return t["lvmi"] > np.where(t["male"] > .5, 72, 55)  # g/m2, about +2 SD of health


GROUPS = {
    "all": lambda t: np.ones(len(t["male"]), bool),
    "men": lambda t: t["male"] > .5,
    "women": lambda t: t["male"] < .5,
    "healthy": _healthy,
    "healthy men": lambda t: _healthy(t) & (t["male"] > .5),
    "healthy women": lambda t: _healthy(t) & (t["male"] < .5),
    "AF now": lambda t: t["af_now"] > .5,
    "AF, not now": lambda t: (t["af"] > .5) & (t["af_now"] < .5),
    "AF label": lambda t: t["af"] > .5,
    "no AF": lambda t: t["af"] < .5,
    "DM": lambda t: t["dm"] > .5,
    "no DM": lambda t: t["dm"] < .5,
    "MI": lambda t: t["mi"] > .5,
    "no MI": lambda t: t["mi"] < .5,
    "LAD": lambda t: t["scar_territory"] == 1,
    "LCx": lambda t: t["scar_territory"] == 2,
    "RCA": lambda t: t["scar_territory"] == 3,
    "scar >= 10 %": lambda t: t["scar_size"] >= 10,
    "scar < 10 %": lambda t: (t["scar_size"] > 0) & (t["scar_size"] < 10),
    "LBBB": lambda t: t["lbbb"] > .5,
    "no LBBB": lambda t: t["lbbb"] < .5,
    "RBBB": lambda t: t["rbbb"] > .5,
    "LVH": _hypertrophy,
    "no LVH": lambda t: ~_hypertrophy(t),
    "BMI 25-30": lambda t: (t["bmi"] >= 25) & (t["bmi"] < 30),
    "BMI < 25": lambda t: t["bmi"] < 25,
}

_K = "knowledge"
_ANGELAKI = "PMC8678829"  # 528 persons, 61 years
_WOMEN = "PMC3825808"
_PETERSEN = "10.1186/s12968-017-0327-9"
_SLOPES = "10.1371/journal.pone.0185114"


def _mean_sd(name: str, column: str, group: str, mean: float, sd: float, unit: str,
             source: str, digits: int = 0) -> tuple[Row, Row]:
    """Two rows: the mean within a quarter SD, the SD within a quarter of itself."""
    target = f"{mean:g} ± {sd:g}"
    return (Row(f"{name}, mean", "mean", (column,), group, target,
                round(mean - sd / 4, digits + 1), round(mean + sd / 4, digits + 1), source, unit),
            Row(f"{name}, SD", "sd", (column,), group, target,
                round(.75 * sd, digits + 2), round(1.25 * sd, digits + 2), source, unit))


def _by_sex(name: str, column: str, men: tuple[float, float], women: tuple[float, float],
            unit: str, source: str) -> tuple[Row, ...]:
    return (*_mean_sd(name, column, "men", *men, unit, source),
            *_mean_sd(name, column, "women", *women, unit, source))


_ELECTRICAL = (
    Row("heart rate, women", "mean", ("ecg.rate",), "women", "62 to 66", 61, 67, _WOMEN, "/min"),
    Row("heart rate, SD", "sd", ("ecg.rate",), "women", "9.2", 7, 11.5, _WOMEN, "/min"),
    Row("PR, women", "mean", ("ecg.pr",), "women", "158", 152, 166, _WOMEN, "ms"),
    Row("PR, 2 % limit, women", "p2", ("ecg.pr",), "women", "118", 108, 128, _WOMEN, "ms"),
    Row("PR, 98 % limit, women", "p98", ("ecg.pr",), "women", "212", 195, 229, _WOMEN, "ms"),
    *_mean_sd("QRS", "ecg.qrs", "healthy women", 85, 8.1, "ms", _WOMEN),
    Row("QRS", "mean", ("ecg.qrs",), "all", "92.7", 89, 96.5, _ANGELAKI, "ms"),
    Row("QRS, men - women", "difference", ("ecg.qrs",), "men | women", "8 to 10", 4, 12, _K, "ms"),
    Row("QTc, women", "mean", ("ecg.qtc",), "women", "413 to 422", 408, 427, _WOMEN, "ms"),
    Row("QTc, SD, women", "sd", ("ecg.qtc",), "women", "14 to 18", 12, 24, _WOMEN, "ms"),
    Row("QTc, men - women", "difference", ("ecg.qtc",), "men | women", "-10 to -15", -17,
        -6, _K, "ms"),
    *_mean_sd("T peak to T end", "ecg.tp_te", "healthy women", 85, 11, "ms", _WOMEN),
    Row("P duration", "mean", ("ecg.p_duration",), "all", "113", 105, 118, _ANGELAKI, "ms"),
    Row("R peak time V5", "mean", ("ecg.r_time_v5",), "all", "39.5", 35, 46, _ANGELAKI, "ms"),
    Row("S in V1", "mean", ("ecg.s.V1",), "all", ".73", .62, .84, _ANGELAKI, "mV"),
    Row("S in V2", "mean", ("ecg.s.V2",), "all", ".78", .66, .95, _ANGELAKI, "mV"),
    Row("R in V2", "mean", ("ecg.r.V2",), "all", ".41", .33, .52, _ANGELAKI, "mV"),
    Row("Sokolow-Lyon", "mean", ("ecg.sokolow",), "all", "1.93", 1.75, 2.1, _ANGELAKI, "mV"),
    Row("Sokolow-Lyon, largest .1 %", "p99.9", ("ecg.sokolow",), "all", "4.5", 3.5, 5.5,
        _ANGELAKI, "mV"),
    Row("T in V2", "mean", ("ecg.t.V2",), "all", ".25", .19, .36, _ANGELAKI, "mV"),
    Row("T in aVL", "mean", ("ecg.t.aVL",), "all", ".08", .03, .13, _ANGELAKI, "mV"),
    Row("T in V2, men / women", "ratio", ("ecg.t.V2",), "men | women", "1.2", 1.1, 1.35, _K),
    Row("frontal QRS axis", "median", ("ecg.axis",), "all", "15.6", 8, 30, _ANGELAKI, "deg"),
    Row("frontal QRS axis, 2 %", "p2", ("ecg.axis",), "all", "-77", -90, -35, _ANGELAKI, "deg"),
    Row("frontal QRS axis, 98 %", "p98", ("ecg.axis",), "all", "97", 75, 110, _ANGELAKI, "deg"),
    Row("T axis", "median", ("ecg.t_axis",), "all", "40", 30, 50, _ANGELAKI, "deg"),
    Row("frontal QRS-T angle", "mean", ("ecg.qrs_t",), "all", "33", 24, 42, _ANGELAKI, "deg"),
    Row("spatial peak QRS-T angle, 95 %", "p95", ("ecg.spatial_qrs_t",), "healthy women",
        "40", 34, 55, "10.1101/2022.01.10.22268661", "deg"),
    Row("spatial peak QRS-T angle, 95 %", "p95", ("ecg.spatial_qrs_t",), "healthy men",
        "55", 45, 70, "10.1101/2022.01.10.22268661", "deg"),
    Row("RBBB", "percent", ("rbbb",), "all", "1.5 to 3.2", 1.5, 3.3, "PMC4531556", "%"),
    Row("LBBB", "percent", ("lbbb",), "all", ".1 to 1.1", .1, 1.1, "PMC4531556", "%"),
    Row("LBBB with QRS >= 120 ms", "at least 120", ("ecg.qrs",), "LBBB", "100", 90, 100,
        "10.1371/journal.pone.0212971", "%"),
    Row("RBBB with QRS >= 110 ms", "at least 110", ("ecg.qrs",), "RBBB", "100", 80, 100, _K, "%"),
    Row("LBBB, R peak time V5", "mean", ("ecg.r_time_v5",), "LBBB", "> 60", 60, 120,
        "understandingecg.org/node/259", "ms"),
    Row("LBBB, LV radius / m2", "ratio", ("mask.radius_index",), "LBBB | no LBBB", "1.10",
        1.0, 1.2, "10.1186/s12968-018-0457-8"),
    Row("LBBB, LVEF", "difference", ("LVEF",), "LBBB | no LBBB", "lower", -20, -2,
        "10.1186/s12968-018-0457-8", "%"),
    Row("Sokolow >= 3.5 mV, no LVH", "at least 3.5", ("ecg.sokolow",), "no LVH", "1 to 12",
        .3, 12, "PMC2856691", "%"),
    Row("Sokolow >= 3.5 mV, LVH", "at least 3.5", ("ecg.sokolow",), "LVH", "10 to 26", 5,
        30, "PMC2856691", "%"),
    Row("BMI and QRS axis", "r", ("bmi", "ecg.axis"), "all", "-.60 (all BMI classes)",
        -.65, -.30, "10.1016/j.ijcme.2015.10.006"),
    Row("Sokolow, overweight / normal", "ratio", ("ecg.sokolow",), "BMI 25-30 | BMI < 25",
        ".81 to .95", .81, .97, "10.1111/j.1542-474X.2009.00330.x"),
    Row("Cornell, overweight / normal", "ratio", ("ecg.cornell",), "BMI 25-30 | BMI < 25",
        "not lowered", .97, 1.3, "10.1111/j.1542-474X.2009.00330.x"),
)

_RHYTHM = (
    Row("SD of RR, sinus", "median", ("ecg.rr_sd",), "healthy", "15 to 45", 15, 45, _K, "ms"),
    Row("SD of RR, DM / no DM", "median ratio", ("ecg.rr_sd",), "DM | no DM", ".71", .60, .88, _K),
    Row("records with an ectopic beat", "percent", ("ecg.ectopic",), "no AF", "4", 2.5,
        5.5, _K, "%"),
    Row("RR in AF", "mean RR", ("ecg.rate",), "AF now", "630 to 740", 630, 900,
        "Alcaraz 2008", "ms"),
    Row("CV of RR in AF", "mean", ("ecg.rr_cv",), "AF now", ".18 to .28", .18, .28, "Alcaraz 2008"),
    Row("successive RR in AF, r", "mean", ("ecg.rr_lag",), "AF now", "0, -.1 in 10 s", -.2,
        .05, "10.1186/1475-925X-6-9"),
    Row("P seen in AF", "percent", ("ecg.p_seen",), "AF now", "0", 0, 20, _K, "%"),
    Row("P seen in sinus rhythm", "percent", ("ecg.p_seen",), "no AF", "100", 97, 100, _K, "%"),
    *_mean_sd("f wave frequency", "ecg.f_rate", "AF now", 6.5, .8, "Hz", "Alcaraz 2008", 1),
    Row("f wave amplitude V1", "mean", ("ecg.f_height",), "AF now", ".03 to .1", .03, .1, _K, "mV"),
    Row("AF on the record, of AF", "percent", ("af_now",), "AF label", "30 to 40", 28, 42, _K, "%"),
    Row("P duration, AF history", "difference", ("ecg.p_duration",), "AF, not now | no AF",
        "longer", 2, 16, _K, "ms"),
    Row("P terminal force, AF history", "ratio", ("ecg.p_terminal",),
        "AF, not now | no AF", "> 1", 1.1, 2.5, "10.1093/europace/euad014"),
)

_INFARCT = (
    Row("pathological Q in infarcts", "percent", ("ecg.pathological_q",), "MI",
        "33 to 43", 30, 50, "heart 102/Suppl_5/A2", "%"),
    Row("pathological Q without infarct", "percent", ("ecg.pathological_q",), "no MI",
        "<= 14", 0, 14, "heart 102/Suppl_5/A2", "%"),
    Row("Q area, scar >= 10 %", "mean", ("ecg.q_area",), "scar >= 10 %", "59 ± 46", 45,
        75, "weill 23611753", "mV ms"),
    Row("Q area, scar < 10 %", "mean", ("ecg.q_area",), "scar < 10 %", "13 ± 16", 8, 20,
        "weill 23611753", "mV ms"),
    Row("Q area tells scar >= 10 %", "auc", ("ecg.q_area",), "scar >= 10 % | scar < 10 %",
        ".87", .75, .92, "weill 23611753"),
    Row("Q in V2, LAD", "difference", ("ecg.r.V2",), "LAD | no MI", "R lost", -.4, -.02, _K, "mV"),
    Row("Q in III, RCA", "difference", ("ecg.q.III",), "RCA | no MI", "deeper", .02, .4, _K, "mV"),
    Row("Q in aVL, LCx", "difference", ("ecg.q.aVL",), "LCx | no MI", "small", .005, .3, _K, "mV"),
    Row("T in V3, LAD", "difference", ("ecg.t.V3",), "LAD | no MI", "inverted", -.5, -.05,
        _K, "mV"),
    Row("T in aVF, RCA", "difference", ("ecg.t.aVF",), "RCA | no MI", "inverted", -.4,
        -.03, _K, "mV"),
    Row("T in V6, LCx", "difference", ("ecg.t.V6",), "LCx | no MI", "inverted", -.4, -.03,
        _K, "mV"),
)

_VOLUMES = (
    *_by_sex("LVEDV", "LVEDV", (166, 32), (124, 21), "ml", _K),
    *_by_sex("LVESV", "LVESV", (69, 16), (49, 11), "ml", _K),
    *_by_sex("LVSV", "LVSV", (96, 20), (75, 14), "ml", _K),
    *_by_sex("LVEF", "LVEF", (58, 5), (61, 5), "%", _PETERSEN),
    *_by_sex("LVM", "LVM", (103, 21), (70, 13), "g", _K),
    *_by_sex("LVMi", "lvmi", (53, 9), (42, 7), "g/m2", _PETERSEN),
    *_by_sex("RVEDV", "RVEDV", (182, 36), (130, 24), "ml", _K),
    *_by_sex("RVESV", "RVESV", (85, 22), (55, 15), "ml", _K),
    *_by_sex("RVEF", "RVEF", (54, 6), (58, 6), "%", _K),
    *_by_sex("LVEDV from the mask", "mask.lvedv", (166, 32), (124, 21), "ml", _K),
    *_by_sex("LVM from the mask", "mask.lvm", (103, 21), (70, 13), "g", _K),
    *_by_sex("RVEDV from the mask", "mask.rvedv", (182, 36), (130, 24), "ml", _K),
    *_by_sex("height", "height", (176, 7), (163, 6), "cm", _SLOPES),
    *_by_sex("BMI", "bmi", (27.1, 3.9), (26.2, 4.6), "kg/m2", _SLOPES),
    *_by_sex("SBP", "sbp", (141, 16), (133, 19), "mmHg", _SLOPES),
    *_mean_sd("LVCO", "LVCO", "all", 5.5, 1.3, "l/min", _K, 1),
    Row("LVEDV, LVEDV of the mask", "r", ("LVEDV", "mask.lvedv"), "all", "1", .95, 1, _K),
    Row("LVM, LVM of the mask", "r", ("LVM", "mask.lvm"), "all", "1", .9, 1, _K),
    Row("LVEDV per decade", "log slope", ("LVEDV", "age", "10"), "healthy", "-3 to -5",
        -5.5, -2.5, _PETERSEN, "%"),
    Row("RVEDV per decade", "log slope", ("RVEDV", "age", "10"), "healthy", "-3 to -5",
        -5.5, -2.5, _PETERSEN, "%"),
    Row("LVEF per decade", "slope", ("LVEF", "age", "10"), "healthy", "0", -.5, .5,
        _PETERSEN, "points"),
    Row("LVM per 4.3 kg/m2", "log slope", ("LVM", "bmi", "4.3"), "healthy", "8.3", 6.8,
        9.8, _SLOPES, "%"),
    Row("LVEDV per 4.3 kg/m2", "log slope", ("LVEDV", "bmi", "4.3"), "healthy", "4.8", 3.6,
        6.0, _SLOPES, "%"),
    Row("LVESV per 4.3 kg/m2", "log slope", ("LVESV", "bmi", "4.3"), "healthy", "4.4", 2.9,
        5.9, _SLOPES, "%"),
    Row("RVEDV per 4.3 kg/m2", "log slope", ("RVEDV", "bmi", "4.3"), "healthy", "5.3", 3.8,
        6.8, _SLOPES, "%"),
    Row("RVESV per 4.3 kg/m2", "log slope", ("RVESV", "bmi", "4.3"), "healthy", "5.4", 3.4,
        7.4, _SLOPES, "%"),
    Row("LVM per 18 mmHg", "log slope", ("LVM", "sbp", "18"), "healthy", "6.8", 5.5, 8.1,
        _SLOPES, "%"),
    Row("LVEDV per 18 mmHg", "log slope", ("LVEDV", "sbp", "18"), "healthy", "4.5", 3.4,
        5.6, _SLOPES, "%"),
    Row("LVEDV per 10 /min", "log slope", ("LVEDV", "heart_rate", "10"), "healthy",
        "smaller", -9, -2, "10.3389/fcvm.2023.1110231", "%"),
    Row("LVEF per 10 /min", "slope", ("LVEF", "heart_rate", "10"), "healthy", "lower", -2,
        -.05, "10.3389/fcvm.2023.1110231", "points"),
    Row("WT per 10 /min", "log slope", ("WT_Global", "heart_rate", "10"), "healthy", "0",
        -1, 1, "10.3389/fcvm.2023.1110231", "%"),
    Row("heart rate and LVEDV", "r", ("ecg.rate", "LVEDV"), "all", "negative", -.40, -.15,
        "10.3389/fcvm.2023.1110231"),
    Row("LVEDV and RVEDV", "r", ("LVEDV", "RVEDV"), "all", ".85", .78, .92, _K),
    Row("LVH", "percent", ("lvh",), "all", "1.5", 1.0, 2.5, "PMC12933001", "%"),
    Row("RVEF <= 40 %", "at most 40", ("RVEF",), "all", "1.0", .5, 1.7, "PMC10863807", "%"),
    Row("RVEDVi > 120 ml/m2", "at least 120", ("rvedvi",), "all", "1.6", .8, 2.4,
        "PMC10863807", "%"),
    *(Row(f"R2 of demographics, {name}", "r2", (name,), "healthy", f"{value:.3f}",
          value - .06, value + .06, _SLOPES)
      for name, value in (("LVM", .655), ("LVEDV", .522), ("LVESV", .416), ("LVSV", .412),
                          ("LVEF", .067))),
)

_OFFSETS = (-.2, .8, .8, .2, -.3, -.4, -.3, .4, .6, .0, -.4, -.4, -.1, .2, -.1, -.3)  # mm
_WALL = (
    *_mean_sd("mid WT, mask", "mask.wt_ed", "men", 6.3, 1.1, "mm", "PMC3412148", 1),
    *_mean_sd("mid WT, mask", "mask.wt_ed", "women", 5.3, .9, "mm", "PMC3412148", 1),
    Row("mid WT per m2", "slope", ("mask.wt_ed", "bsa", "1"), "healthy", "1.1", .5, 3.0,
        "PMC3412148", "mm"),
    Row("mid WT per decade", "slope", ("mask.wt_ed", "age", "10"), "healthy", "0", -.1,
        .15, "PMC3412148", "mm"),
    *_mean_sd("mid thickening, mask", "mask.thickening", "all", 4.4, 1.4, "mm",
              "10.1186/1532-429X-11-S1-P61", 1),
    *_mean_sd("WT global", "WT_Global", "men", 6.3, .8, "mm", _K, 1),
    *_mean_sd("WT global", "WT_Global", "women", 5.2, .8, "mm", _K, 1),
    *(Row(f"WT segment {k} - global", "mean", (f"wt_offset_{k}",), "healthy", f"{mm:g}",
          mm - .25, mm + .25, _K, "mm") for k, mm in enumerate(_OFFSETS, 1)),
)

_STRAIN = (
    *_mean_sd("Ecc global", "Ecc_Global", "all", -22.3, 3.4, "%", _K),
    *_mean_sd("Err global", "Err_Global", "all", 45, 8, "%", _K),
    Row("mid Ecc, mask", "mean", ("mask.ecc",), "all", "-17.6 to -26.1", -26.1, -17.6,
        "PMC8128822; Taylor 2015", "%"),
    Row("mid Err, mask", "mean", ("mask.err",), "all", "29 to 53", 29, 57, "PMC8128822", "%"),
    Row("Ecc, apex - base", "mean", ("ecc_apex_base",), "healthy", "-2 to -2.4", -4, -1,
        "pubmed 25223588", "points"),
    Row("Ecc, lateral - septal", "mean", ("ecc_lateral_septal",), "healthy", "-2 to -3",
        -4, -1, "pubmed 25223588", "points"),
    Row("Ecc of a segment, SD", "sd", ("Ecc_AHA_9",), "all", "5 to 6", 3, 6.5, _K, "%"),
    Row("Err of a segment, SD", "sd", ("Err_AHA_9",), "all", "14 to 18", 9, 19, _K, "%"),
)

_DISEASES = (
    Row("CAD", "percent", ("cad",), "all", "5 to 9", 5, 9, "1 oetu/MMCL-ECG-CMR", "%"),
    Row("MI", "percent", ("mi",), "all", "3", 2, 4, _K, "%"),
    Row("AF", "percent", ("af",), "all", "2.5 to 3", 2, 3.5, _K, "%"),
    Row("DM", "percent", ("dm",), "all", "2.5 to 5.5", 2.5, 5.5, "PMC7099857", "%"),
    Row("LVEF < 40 %", "at most 40", ("LVEF",), "all", ".4 to 1", .3, 1.1, _K, "%"),
    Row("LVEF < 50 %", "at most 50", ("LVEF",), "all", "4 to 6", 3.3, 6.5, _K, "%"),
    Row("DM and LVEDV", "log effect", ("LVEDV", "dm"), "all", "-4 to -5", -9, -2,
        "PMC7099857", "%"),
    Row("DM and LVM / LVEDV", "log effect", ("mass_ratio", "dm"), "all", "4", 1.5, 6.5,
        "PMC7099857", "%"),
    Row("DM and Ecc", "effect", ("Ecc_Global", "dm"), "all", ".6", .1, 1.3, "PMC7099857", "points"),
    Row("DM and heart rate", "effect", ("ecg.rate", "dm"), "all", "4", 2.5, 5.5, _K, "/min"),
    Row("DM and T in V4", "log effect", ("ecg.t.V4", "dm"), "all", "-10", -20, -3, _K, "%"),
    Row("BMI, DM - no DM", "difference", ("bmi",), "DM | no DM", "2.8", 1.6, 4,
        "PMC7099857", "kg/m2"),
    Row("age, DM - no DM", "difference", ("age",), "DM | no DM", "2.3", 1, 3.6,
        "PMC7099857", "years"),
    Row("men, DM", "percent", ("male",), "DM", "57", 50, 65, "PMC7099857", "%"),
)

_COUPLING = (
    Row("Sokolow and LVMi", "r", ("ecg.sokolow", "lvmi"), "all", ".28", .15, .40,
        "10.1186/1532-429X-11-2"),
    *(Row(f"ECG model, {name}", "model r", (column,), "all", f"{low:g} to {high:g}", low,
          high, source) for name, column, low, high, source in (
        ("LVM", "LVM", .60, .75, "PMC8217289"), ("LVMi", "lvmi", .40, .60, "PMC8217289"),
        ("LVEDV", "LVEDV", .50, .65, "PMC5836803"), ("RVEDV", "RVEDV", .50, .65, "PMC5836803"),
        ("LVEF", "LVEF", .30, .50, "PMC5836803"), ("WT global", "WT_Global", .45, .60, _K),
        ("Ecc global", "Ecc_Global", .25, .45, _K), ("Err global", "Err_Global", .25, .45, _K))),
    *(Row(f"ECG model, {name}", "model auc", (column,), "all", f"{low:g} to {high:g}", low,
          high, source) for name, column, low, high, source in (
        ("LVEF < 40 %", "low_ef", .85, .94, "PMC11284011"), ("AF", "af", .80, .90, _K),
        ("CAD", "cad", .65, .75, _K), ("DM", "dm", .62, .72, _K),
        ("LVH", "lvh", .65, .85, "PMC12933001"))),
)

SECTIONS = {"electrical": _ELECTRICAL, "rhythm": _RHYTHM, "infarct": _INFARCT,
            "volumes": _VOLUMES, "wall": _WALL, "strain": _STRAIN, "diseases": _DISEASES,
            "coupling": _COUPLING}
ROWS = tuple(row._replace(section=name) for name, rows in SECTIONS.items() for row in rows)
