"""The electrocardiogram as one view of the heart, for whoever changes what a record shows.

    features           from physiology to the numbers of a record; the coupling dial
    waves, rhythm      Gaussian kernels of QRS, T and P; when they come
    leads              from the dipole and the electrodes to twelve leads; electrode noise
    electrodes         swapped, misplaced and loose ones
    electrocardiogram  draws all random numbers of a record and renders it

Any change of the output needs a new `simulation.VERSION`, and a new edge belongs into
`audit.graph`. Random numbers come from the "ecg" stream alone, in an order that nothing changes.
Imports `streams`, `heart.physiology` and the cohort's constants, never cmr/.
"""
