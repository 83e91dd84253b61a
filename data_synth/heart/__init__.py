"""The heart that both modalities share, for whoever changes physiology, anatomy or labels.

    physiology   demographics, diseases and the volumes they ask for, drawn once for each subject
    geometry     a heart of exactly these volumes, in closed form: three rings in three phases
    segments     angles of a ring and the AHA segments they lie in
    phenotypes   the 61 numbers of a heart, from its own contours
    label_noise  errors of those numbers, for who wants labels as imperfect as real ones

Equations may be changed; any change of the output needs a new `simulation.VERSION`, and a new edge
belongs into `audit.graph`. Imports `streams` and the cohort's constants, never ecg/ or cmr/.
"""
