"""A synthetic heart: one latent physiology, seen by a 12-lead ECG and by a short-axis cine CMR.

    physiology -> geometry -> cine image, segmentation, 61 phenotypes
               \\-> electrocardiogram              (separate random streams: see `streams`)

    heart/  what both see        ecg/, cmr/  two views of it that never import each other
    realism/  is it like published hearts?   audit/  is there a shortcut?

`simulate` gives arrays, `write_cohort` and `python -m data_synth` files. `reference` never imports
this package, which imports the cohort, whole files and, in the realism report, the probes.
"""

from data_synth.latents import LATENT_INFO, LATENTS, Latent
from data_synth.simulation import VERSION, Simulation, Subject, simulate, simulate_one
from data_synth.writing import write_cohort
from reference.cohort import LABELS, LEADS, PHENOTYPES, Phenotype

__all__ = ["LABELS", "LATENTS", "LATENT_INFO", "LEADS", "PHENOTYPES", "VERSION", "Latent",
           "Phenotype", "Simulation", "Subject", "simulate", "simulate_one", "write_cohort"]
