"""People, stand-ins and planted shortcuts for the tests of the audit."""

from __future__ import annotations

import numpy as np

from data_synth import simulate
from data_synth.audit.check import Check
from data_synth.cmr import cine
from data_synth.heart import geometry, physiology
from data_synth.simulation import Simulation
from data_synth.streams import generator

N = 400
# Of 400 people eleven have an infarct, too few to learn what it does to either modality, so its
# large effects would stay in both residuals. The audit's 2,000 subjects hold everyone.
SUBJECTS = [k for k in range(2 * N) if not physiology.sample(k, 0)["mi"]][:N]
CAD = 0


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def failed(checks: list[Check], words: str) -> list[str]:
    """Names of the failed checks that contain the words."""
    assert any(words in check.name for check in checks), [check.name for check in checks]
    return [check.name for check in checks if check.passed is False and words in check.name]


def stored(group: Simulation, change=lambda part: part):
    """A stand-in for `simulate` that gives rows of a group after a change of its arrays."""
    def chosen(subjects, seed, **options):
        rows = np.array(subjects)
        return change(Simulation(*(array[rows] for array in group[:-1]),
                                 {name: value[rows] for name, value in group.latents.items()}))
    return chosen


def brightness_tied_to_voltage(part: Simulation) -> Simulation:
    voltage = part.ecg.std(axis=(1, 2))
    factor = 1 + .25 * np.clip((voltage - .2) / .08, -2, 2)
    return part._replace(cmr=part.cmr * factor[:, None, None, None].astype(np.float32))


def label_in_a_border_pixel(part: Simulation) -> Simulation:
    image = part.cmr.copy()
    image[:, 1, 0, 77] += .2 * part.labels[:, CAD].astype(np.float32)
    return part._replace(cmr=image)


def shared_noise(subjects, seed, coupling=1.0, ecg_noise=1.0, ecg_seed=None, cmr_seed=None):
    """The image drawn with the numbers of the ECG's stream."""
    true = simulate(subjects, seed, coupling=coupling, ecg_seed=ecg_seed)
    for row, subject in enumerate(subjects):
        person = {name: value[row] for name, value in true.latents.items()}
        heart = geometry.realise(person, generator(seed, subject, "anatomy"))
        stream = generator(seed if ecg_seed is None else ecg_seed, subject, "ecg")
        true.cmr[row], true.segmentation[row] = cine.render(heart, stream)
    return true
