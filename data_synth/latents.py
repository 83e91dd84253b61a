"""Every quantity that is drawn or realised for a subject: its stream, who sees it, its unit.

    shared   physiology and true anatomy: seen by image and phenotypes, and (if declared) by the ECG
    ecg      seen by the electrocardiogram alone;      cmr     seen by the image alone

Stream "derived" marks functions of other latents; all others are random draws of their own stream
(diseases: given risk factors). ECG latents are the values at ecg_noise 1, before `coupling` acts.
"""

from __future__ import annotations

from typing import NamedTuple

from data_synth.ecg.leads import EIGHT


class Latent(NamedTuple):
    """One latent quantity."""

    name: str
    stream: str  # of `streams.STREAMS`, or "derived"
    kind: str  # shared, ecg or cmr
    unit: str
    meaning: str


def _rows(stream: str, kind: str, table: str) -> list[Latent]:
    """Lines of `name | unit | meaning`."""
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [Latent(name, stream, kind, unit, meaning) for name, unit, meaning in cells]


_DERIVED = {"weight", "bsa", "lvedv_target", "lvm_target", "ef_target"}
_PHYSIOLOGY = _rows("physiology", "shared", """
male | 0/1 | sex
age | years | age
height | cm | body height
weight | kg | body weight
bmi | kg/m2 | body mass index
bsa | m2 | body surface (Mosteller)
sbp | mmHg | systolic blood pressure
dm | 0/1 | diabetes
cad | 0/1 | coronary artery disease
mi | 0/1 | infarct
af | 0/1 | atrial fibrillation, history
af_now | 0/1 | atrial fibrillation in the recording
dcm | 0/1 | dilated cardiomyopathy
scar_size | % | infarct, share of the left ventricle
scar_territory | 0..3 | none, LAD, LCx, RCA
scar_transmurality | 0..1 | depth of the scar
heart_rate | bpm | resting or ventricular rate
size_u | SD | size of the left ventricle beyond body and risk factors
concentricity_c | SD | wall mass over cavity
contractility_e | SD | ejection beyond everything else
lvedv_target | ml | end-diastolic volume asked for
lvm_target | g | left-ventricular mass asked for
ef_target | % | ejection fraction asked for
longitudinal_strain | fraction | shortening of the long axis, negative
rv_sv_ratio | ratio | right over left stroke volume
rv_ef_target | % | right-ventricular ejection fraction asked for
lbbb | 0/1 | left bundle branch block
rbbb | 0/1 | right bundle branch block""")
_REALISED = _rows("derived", "shared", """
lvedv | ml | end-diastolic volume
lvesv | ml | end-systolic volume
lvef | % | ejection fraction
lvm | g | left-ventricular mass
rvedv | ml | right end-diastolic volume
rvesv | ml | right end-systolic volume
rvef | % | right ejection fraction
wt_global | mm | mean wall thickness""")
_ANATOMY = _rows("anatomy", "shared", """
long_short_ratio | ratio | long over short half-axis of the cavity
oval_cos | fraction | cavity longer from front to back
oval_sin | fraction | cavity longer along the diagonal
rv_length_factor | ratio | length of the right ventricle over the usual
rv_along_factor | ratio | right ventricle's extent along the septum over the usual
rv_centre_factor | ratio | distance of the two ventricles over the usual
contraction_gradient | fraction | more contraction at the apex, less at the base""") + [
    Latent(f"{name}_residual_{k}", "anatomy", "shared", "fraction",
           f"{meaning} of AHA segment {k} beyond the usual")
    for name, meaning in (("wall", "thickness"), ("contraction", "contraction"))
    for k in range(1, 17)]
_ECG = _rows("ecg", "ecg", """
ecg_log_voltage | log | voltage gain that mass does not explain
ecg_axis | degree | frontal axis that body and function do not explain
ecg_turn | degree | turn of the QRS in the horizontal plane
ecg_qrs | ms | conduction: QRS duration beyond size and function
ecg_log_septum | log | septal force
ecg_log_base | log | force of base and right ventricle
ecg_log_t | log | height of T
ecg_t_axis | degree | turn of T in the frontal plane
ecg_t_turn | degree | turn of T in the horizontal plane
ecg_log_t_width | log | duration of T
ecg_log_p | log | height of P
ecg_p_duration | ms | P duration beyond atrial disease
ecg_log_terminal | log | terminal force of P
ecg_pr | ms | PR interval
ecg_qtc | ms | QT interval at 60 bpm
ecg_st | mV | ST deviation along the QRS
ecg_strain | SD | readiness to show strain in hypertrophy
ecg_q_depth | log | depth of a Q wave""") + [
    Latent(f"field_{lead}_{axis}", "ecg", "ecg", "SD", f"lead field of {lead}, {axis} component")
    for lead in EIGHT for axis in "xyz"
] + _rows("ecg", "ecg", """
field_shift | SD | chest electrodes moved along their row
field_up | SD | chest electrodes moved up or down
field_limb | SD | gain of the limb leads
field_chest | SD | gain of the chest leads
ecg_rate | SD | heart rate where coupling hides the true one
local_qrs | SD | size of the non-dipolar part of the QRS
local_t | SD | size of the non-dipolar part of T
breathing_rate | Hz | breathing
rr_spread | ms | variability of sinus rhythm
ectopic_beat | 0..2 | none, atrial, ventricular (in sinus rhythm)
cables | 0..3 | swapped limb cables: none, LA-RA, LA-LL, RA-LL
chest_misplaced | 0..6 | none, V_i and V_i+1 swapped, V1 and V2 too high
burst | mV | loose electrode, amplitude of its artefact""")
_CMR = [Latent(f"{name}_signal", "cmr", "cmr", "of blood", f"intensity of {meaning}")
        for name, meaning in (("muscle", "heart muscle"), ("papillary", "papillary muscles"),
                              ("fat", "fat"), ("liver", "the liver"), ("lung", "the lungs"),
                              ("skeletal", "skeletal muscle"), ("bone", "bone"),
                              ("rv_blood", "blood in the right ventricle"))]
_CMR += _rows("cmr", "cmr", """
chest_muscle_log | log | thickness of the chest's muscles
chest_row | pixel | middle of the chest, downwards
chest_column | pixel | middle of the chest, to the right
chest_height | pixel | half-height of the inner chest
chest_width | pixel | half-width of the inner chest
liver_row | pixel | place of the liver's dome, downwards
liver_column | pixel | place of the liver, to the right
liver_height | pixel | half-height of the liver
liver_width | pixel | half-width of the liver
stomach_row | pixel | place of the stomach, downwards
stomach_height | pixel | half-height of the stomach
stomach_signal | of blood | intensity of the stomach
aorta_radius | pixel | descending aorta
papillary_1_angle | degree | anterolateral papillary muscle, AHA angle
papillary_1_depth | fraction | its distance from the axis over the radius
papillary_1_radius | mm | its size
papillary_2_angle | degree | posteromedial papillary muscle, AHA angle
papillary_2_depth | fraction | its distance from the axis over the radius
papillary_2_radius | mm | its size
coil_1 | SD | coil, slope from front to back
coil_2 | SD | coil, curvature from front to back
coil_3 | SD | coil, slope across
coil_4 | SD | coil, curvature across
slice_offset | mm | slice beyond the middle ring, towards the apex
patient_roll | degree | patient turned, clockwise in the image
heart_turn | degree | septum turned, clockwise, beyond the roll
heart_row | pixel | heart moved downwards, where it fits
heart_column | pixel | heart moved to the right, where it fits
fat_factor | ratio | fat of the chest wall that BMI does not explain
fat_rim | mm | fat around the heart
trabecula_phase | rad | place of the trabeculae
trabecula_height | mm | height of the trabeculae
trabecula_count | count | trabeculae around the cavity
flow_mid | fraction | blood darkened by flow, second frame
flow_es | fraction | blood darkened by flow, third frame
noise_level | of blood | noise of each receiver channel
blur | pixel | point spread
gain | ratio | display gain
banding | 0/1 | dark arcs of off-resonance
liver_shift_mid | pixel | motion of the liver's dome, second frame
liver_shift_es | pixel | motion of the liver's dome, third frame""")

LATENT_INFO = (*(row._replace(stream="derived") if row.name in _DERIVED else row
                 for row in _PHYSIOLOGY), *_REALISED, *_ANATOMY, *_ECG, *_CMR)
LATENTS = tuple(latent.name for latent in LATENT_INFO)
