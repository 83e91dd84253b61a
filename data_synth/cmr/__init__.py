"""The short-axis cine as another view of the heart, for whoever changes what an image shows.

    section  contours of a heart where the slice lies
    tissue   what surrounds the heart, and how the scanner colours it
    cine     draws all random numbers of an image, renders it and its exact segmentation

Any change of the output needs a new `simulation.VERSION`. Random numbers come from the "cmr" stream
alone, in an order that nothing changes. Imports `streams`, `heart.geometry`, `heart.segments` and
the cohort's constants, never ecg/.
"""
