"""Named configurations of the whole job: frozen, typed, every odd number with its reason.

    smoke  the mechanics, in under a minute: too short for the transfer to show
    quick  the default: a result worth reading on 2 CPU cores in 10-15 minutes
    paper  shapes and hyperparameters of Turgut et al. 2025, unchanged: for a GPU

Glossary: rate_hz sampling rate the model sees, window and patch in samples at that rate, epochs
over the training split.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reference.views import CONTRASTIVE_ECG, CROP_ONLY, MDM_ECG, CMRView, ECGView


@dataclass(frozen=True)
class Stage:
    """One training stage."""

    epochs: int
    batch: int
    lr: float  # peak, already multiplied by batch / 4 where the paper scales it
    weight_decay: float
    warmup: float  # share of the epochs
    view: ECGView
    betas: tuple[float, float] = (0.9, 0.999)
    per_epoch: bool = False  # learning rate constant within an epoch
    validations: int = 10  # validation passes over the whole stage
    layer_decay: float = 1.0  # of the learning rate, towards the input (fine-tuning)
    patience: int = 0  # stop after so many validations without a better score; 0 = never


@dataclass(frozen=True)
class Preset:
    """Everything that the main job needs."""

    subjects: int
    ecg_noise: float  # 1 = realistic world, below 1 = clearer
    enrich: float  # least share of each diagnosis among the subjects; 0 = natural prevalence
    rate_hz: int
    window: int
    patch: int
    dim: int
    depth: int
    heads: int
    decoder_dim: int
    decoder_depth: int
    decoder_heads: int
    cmr_arch: str
    image_size: int
    hidden: int  # of the projection heads
    embedding: int
    mdm: Stage
    mmcl: Stage
    supervised: Stage
    finetune: Stage
    ecg_lr_scale: float = 1.0  # learning rate of the ECG encoder against the rest, stage 2
    cmr_view: CMRView = field(default_factory=CMRView)
    mask_ratio: float = 0.8
    ncc_weight: float = 0.1
    consistency: float = 0.0  # weight of the two-view term; the authors' code since 2024 has 0.1
    temperature: float = 0.1
    clip_weight: float = 0.75  # on the CMR -> ECG direction
    candidates: int = 256  # of retrieval

    @property
    def input_size(self) -> tuple[int, int, int]:
        """(channels, leads, samples) of a view."""
        return (1, 12, self.window)

    @property
    def patch_size(self) -> tuple[int, int]:
        """(leads, samples) of a patch."""
        return (1, self.patch)


# Weak views: size of the heart is what has to be transferred, and a strong random crop hides it.
_WEAK_CMR = CMRView(scale=(0.9, 1.0), brightness=0.3, contrast=0.3)
_WEAK_ECG = ECGView(surrogate=0.1, jitter=0.075, rescale=0.0)

PRESETS: dict[str, Preset] = {
    "smoke": Preset(
        subjects=300, ecg_noise=0.5, enrich=0.2, rate_hz=100, window=250, patch=25,
        dim=32, depth=1, heads=2, decoder_dim=32, decoder_depth=1, decoder_heads=2,
        cmr_arch="resnet10_narrow", image_size=32, hidden=32, embedding=16,
        mdm=Stage(15, 32, 3e-3, 0.15, 0.1, CROP_ONLY, (0.9, 0.95), validations=2),
        mmcl=Stage(10, 32, 2e-3, 1e-4, 0.1, _WEAK_ECG, validations=2),
        supervised=Stage(8, 32, 1e-3, 0.05, 0.1, CROP_ONLY, validations=2),
        finetune=Stage(4, 32, 1e-3, 0.05, 0.05, CROP_ONLY, validations=2, layer_decay=0.75),
        candidates=32),
    "quick": Preset(
        subjects=6000, ecg_noise=1.0, enrich=0.0, rate_hz=100, window=250, patch=25,
        dim=64, depth=3, heads=2, decoder_dim=64, decoder_depth=1, decoder_heads=4,
        cmr_arch="resnet10_narrow", image_size=48, hidden=256, embedding=64,
        mdm=Stage(14, 64, 3e-3, 0.15, 0.1, CROP_ONLY, (0.9, 0.95)),
        mmcl=Stage(18, 64, 2e-3, 1e-4, 0.1, _WEAK_ECG),
        supervised=Stage(18, 64, 1e-3, 0.05, 0.1, CROP_ONLY),
        finetune=Stage(6, 64, 1e-3, 0.05, 0.05, CROP_ONLY, layer_decay=0.75),
        ecg_lr_scale=0.4, cmr_view=_WEAK_CMR),
    "paper": Preset(
        subjects=40044, ecg_noise=1.0, enrich=0.0, rate_hz=500, window=2500, patch=100,
        dim=384, depth=3, heads=6, decoder_dim=256, decoder_depth=2, decoder_heads=8,
        cmr_arch="resnet50", image_size=210, hidden=512, embedding=128,
        mdm=Stage(400, 128, 3.2e-4, 0.15, 0.1, MDM_ECG, (0.9, 0.95), validations=400),
        mmcl=Stage(300, 256, 1e-4, 1e-4, 0.1, CONTRASTIVE_ECG, per_epoch=True, validations=300),
        # Of the paper's sweep {1e-6 .. 3e-5} x batch / 4, the largest; 5 % warm-up.
        supervised=Stage(400, 128, 9.6e-4, 0.05, 0.05, MDM_ECG, validations=400, patience=25),
        finetune=Stage(400, 128, 9.6e-4, 0.05, 0.05, MDM_ECG, validations=400,
                       layer_decay=0.75, patience=25)),
}
