"""The three stages: what is fed, what is minimised, what is scored; the loop is in loop.py.

    stage 1  masked data modelling      (1 - w) MSE + w (1 - NCC), best validation NCC kept
    stage 2  contrastive alignment      CLIP loss of projected ECG and CMR, best one kept
    stage 3  labels from the ECG        masked MSE of standardised phenotypes + BCE of risks

Glossary: B records, V leads, T samples, L tokens, E embedding width, K phenotypes; `Data` holds
cleaned ECGs and heart boxes, indexed by row.
Source: Turgut et al. 2025, sections 3.1-3.3; authors' code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from reference.augmentation import cmr_view, ecg_view, image_noise, resize
from reference.contrastive_loss import clip_loss
from reference.encoders import CMREncoder, ECGEncoder, ProjectionHead
from reference.loop import History, Progress, chunks, fit, layer_decay, matrices_only
from reference.loop import warmup_cosine as warmup_cosine  # part of this interface
from reference.masked_modelling import MaskedAutoencoder
from reference.presets import Preset
from reference.retrieval import collapse, in_batch_accuracy


@dataclass(frozen=True)
class Data:
    """Prepared arrays, indexed by row; NaN where a phenotype or label is missing."""

    ecg: np.ndarray  # [N, 12, T] float32, cleaned
    box: np.ndarray  # [N, 3, 78, 78] uint8
    labels: np.ndarray  # [N, 3] float32 in {0, 1}
    phenotypes: np.ndarray  # [N, 61] float64, in their units
    target_mean: np.ndarray  # [61], of the training split
    target_scale: np.ndarray  # [61]

    @property
    def targets(self) -> np.ndarray:
        """Standardised phenotypes [N, 61] float32."""
        return ((self.phenotypes - self.target_mean) / self.target_scale).astype(np.float32)

    def signals(self, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """Cleaned ECG of some rows: [B, 12, T]."""
        return torch.from_numpy(np.ascontiguousarray(self.ecg[rows], np.float32)).to(device)

    def images(self, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """Heart boxes of some rows: [B, 3, 78, 78] in [0, 1]."""
        box = torch.from_numpy(np.ascontiguousarray(self.box[rows])).to(device)
        return box.to(torch.float32) / 255 if box.dtype == torch.uint8 else box


class MMCL(nn.Module):
    """Both encoders with their projection heads.

    `embed_ecg(x [B, 1, 12, T])` and `embed_cmr(image [B, 3, h, w])` give [B, E], not normalised.
    """

    def __init__(self, ecg: ECGEncoder, cmr: CMREncoder, hidden: int, embedding: int):
        super().__init__()
        self.ecg, self.cmr = ecg, cmr
        self.ecg_head = ProjectionHead(ecg.dim, hidden, embedding)
        self.cmr_head = ProjectionHead(cmr.dim, hidden, embedding)

    def embed_ecg(self, x: torch.Tensor) -> torch.Tensor:
        """Projected ECG features."""
        return self.ecg_head(self.ecg.features(x))

    def embed_cmr(self, image: torch.Tensor) -> torch.Tensor:
        """Projected CMR features."""
        return self.cmr_head(self.cmr.features(image))


def build_mdm(preset: Preset) -> MaskedAutoencoder:
    """Fresh masked autoencoder of a preset (weights from torch's current random state)."""
    return MaskedAutoencoder(preset.input_size, preset.patch_size, preset.dim, preset.depth,
                             preset.heads, preset.decoder_dim, preset.decoder_depth,
                             preset.decoder_heads, preset.ncc_weight,
                             consistency=preset.consistency > 0)


def build_ecg(preset: Preset, **options: Any) -> ECGEncoder:
    """Fresh ECG encoder of a preset."""
    return ECGEncoder(preset.input_size, preset.patch_size, preset.dim, preset.depth, preset.heads,
                      **options)


def build_mmcl(preset: Preset, ecg: ECGEncoder | None = None) -> MMCL:
    """Fresh pair of encoders of a preset, or with a given ECG encoder."""
    return MMCL(ecg or build_ecg(preset), CMREncoder(preset.cmr_arch), preset.hidden,
                preset.embedding)


def centre(x: torch.Tensor, window: int) -> torch.Tensor:
    """Validation view of an ECG: the first `window` samples: [B, 12, T] -> [B, 1, 12, window]."""
    return x[:, None, :, :window]


def train_mdm(model: MaskedAutoencoder, data: Data, split: dict[str, np.ndarray], preset: Preset, *,
              seed: int, device: torch.device, progress: Progress | None = None,
              checkpoint: Callable[[History], None] | None = None) -> History:
    """Stage 1: masked data modelling on the training split; scored by validation NCC.

    Args:
        model: on the device.
        data, split: prepared arrays and rows per split.
        preset: shapes and the `mdm` stage.
        seed: of batches, views and masks.
        device: where to compute.
    Returns:
        History (score = mean NCC of the reconstructions of the validation split).
    Raises:
        As `fit`.
    Source: Turgut et al. 2025, section 3.1.
    """
    stage, window = preset.mdm, preset.window
    tokens = model.grid[0] * model.grid[1]
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(matrices_only(model, stage.weight_decay), lr=0.0,
                                  betas=stage.betas)

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        x = ecg_view(data.signals(rows, device), stage.view, window, generator)[:, None]
        noise = torch.rand(2, len(rows), tokens, generator=generator).to(device)
        latent, mask = model.encode(x, noise[0], preset.mask_ratio)
        loss = model.loss(x, model.decode(latent, mask), mask)
        if preset.consistency > 0:
            second, _ = model.encode(x, noise[1], preset.mask_ratio)
            loss = loss + preset.consistency * model.consistency_loss(latent, second)["loss"]
        return loss

    return fit("mdm", model, optimiser, stage, split["train"], loss_of,
               lambda: mdm_ncc(model, data, split["val"], preset, device), seed=seed,
               higher_is_better=True, progress=progress, checkpoint=checkpoint)


def mdm_ncc(model: MaskedAutoencoder, data: Data, rows: np.ndarray, preset: Preset,
            device: torch.device, seed: int = 0) -> float:
    """Mean NCC of masked reconstruction over some rows, with the same masks at every call.

    Args:
        model, data, preset, device: as `train_mdm`.
        rows: [n].
        seed: of the masks.
    Returns:
        In [-1, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    tokens, total = model.grid[0] * model.grid[1], 0.0
    with torch.no_grad():
        for part in chunks(rows):
            x = centre(data.signals(part, device), preset.window)
            noise = torch.rand(len(part), tokens, generator=generator).to(device)
            latent, mask = model.encode(x, noise, preset.mask_ratio)
            total += float(model.ncc(x, model.decode(latent, mask)).mean(dim=(1, 2)).sum())
    return total / len(rows)


def train_mmcl(model: MMCL, data: Data, split: dict[str, np.ndarray], preset: Preset, *, seed: int,
               device: torch.device, name: str = "mmcl", progress: Progress | None = None,
               pairing: np.ndarray | None = None,
               checkpoint: Callable[[History], None] | None = None) -> History:
    """Stage 2: contrastive alignment of paired ECG and CMR; scored by validation loss.

    Args:
        model: on the device.
        data, split: prepared arrays and rows per split.
        preset: shapes and the `mmcl` stage.
        seed: of batches and views.
        device: where to compute.
        pairing: [N] row of the image that stands beside each ECG; default its own. A permutation
            is the control in which there is nothing to transfer.
    Returns:
        History (score = mean CLIP loss of the validation split in batches of the training size).
    Raises:
        As `fit`.
    Source: Turgut et al. 2025, section 3.2; authors' code (Adam, weight 0.75 on CMR -> ECG).
    """
    stage = preset.mmcl
    generator = torch.Generator().manual_seed(seed)
    encoder = list(model.ecg.parameters())
    others = [p for part in (model.cmr, model.ecg_head, model.cmr_head) for p in part.parameters()]
    optimiser = torch.optim.Adam([{"params": encoder, "lr_scale": preset.ecg_lr_scale},
                                  {"params": others, "lr_scale": 1.0}], lr=0.0,
                                 betas=stage.betas, weight_decay=stage.weight_decay)
    pairing = np.arange(len(data.ecg)) if pairing is None else pairing

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        x = ecg_view(data.signals(rows, device), stage.view, preset.window, generator)[:, None]
        noise = image_noise(len(rows), generator).to(device)
        image = cmr_view(data.images(pairing[rows], device), noise, preset.cmr_view,
                         preset.image_size)
        return clip_loss(model.embed_cmr(image), model.embed_ecg(x), preset.temperature,
                         preset.clip_weight)

    embedded: dict[str, torch.Tensor] = {}  # of the last validation, for the monitors

    def validate() -> float:
        embedded["ecg"], embedded["cmr"] = embed_pairs(model, data, split["val"], preset, device,
                                                       pairing)
        return float(np.mean([float(clip_loss(z_cmr, z_ecg, preset.temperature,
                                              preset.clip_weight))
                              for z_ecg, z_cmr in _whole_batches(embedded, stage.batch)]))

    def monitor() -> dict[str, float]:
        return retrieval_monitors(embedded, stage.batch)

    return fit(name, model, optimiser, stage, split["train"], loss_of, validate, seed=seed,
               higher_is_better=False, monitor=monitor, progress=progress, checkpoint=checkpoint)


def _whole_batches(embedded: dict[str, torch.Tensor], size: int
                   ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs (z_ecg, z_cmr) of at most `size` rows, the last short one left out."""
    z_ecg, z_cmr = embedded["ecg"], embedded["cmr"]
    size = min(size, len(z_ecg))
    for i in range(0, len(z_ecg) - size + 1, size):
        yield z_ecg[i:i + size], z_cmr[i:i + size]


def retrieval_monitors(embedded: dict[str, torch.Tensor], batch: int) -> dict[str, float]:
    """In-batch retrieval and collapse of embeddings.

    Args:
        embedded: "ecg" and "cmr", each [n, E], row i of both from one subject.
        batch: candidates of the retrieval.
    Returns:
        top1, top5 (CMR -> ECG, mean over whole batches), and mean_cosine of each modality
        (1 = collapsed).
    Source: authors' code (logged in stage 2).
    """
    found = {f"top{k}": float(np.mean([float(in_batch_accuracy(z_cmr, z_ecg, k))
                                       for z_ecg, z_cmr in _whole_batches(embedded, batch)]))
             for k in (1, 5)}
    cosines = {f"mean_cosine_{name}": collapse(z)["mean_cosine"] for name, z in embedded.items()}
    return {**found, **cosines}


def embed_pairs(model: MMCL, data: Data, rows: np.ndarray, preset: Preset, device: torch.device,
                pairing: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Projected embeddings of the validation views: rows [n] -> z_ecg, z_cmr [n, E] on the CPU."""
    pairing = np.arange(len(data.ecg)) if pairing is None else pairing
    model.eval()
    z_ecg, z_cmr = [], []
    with torch.no_grad():
        for part in chunks(rows):
            x = centre(data.signals(part, device), preset.window)
            z_ecg.append(model.embed_ecg(x).cpu())
            image = resize(data.images(pairing[part], device), preset.image_size)
            z_cmr.append(model.embed_cmr(image).cpu())
    return torch.cat(z_ecg), torch.cat(z_cmr)


def masked_mse(prediction: torch.Tensor, target: torch.Tensor, *, authors_count: bool = False
               ) -> torch.Tensor:
    """Squared error over the observed targets.

    Args:
        prediction: [B, K].
        target: [B, K], NaN where missing.
        authors_count: divide by all entries, so that a missing one counts as no error.
    Returns:
        Scalar; 0 if nothing is observed.
    Source: Turgut et al. 2025, section 3.3; authors' code.
    Differs: the authors count missing labels as zero error (`authors_count=True`).
    """
    seen = ~torch.isnan(target)
    error = torch.where(seen, prediction - torch.nan_to_num(target), torch.zeros_like(prediction))
    count = target.numel() if authors_count else seen.sum().clamp(min=1)
    return (error**2).sum() / count


def masked_bce(logits: torch.Tensor, labels: torch.Tensor, positive_weight: torch.Tensor
               ) -> torch.Tensor:
    """Class-weighted cross-entropy over the observed labels: [B, K] logits and labels -> scalar."""
    seen = ~torch.isnan(labels)
    loss = F.binary_cross_entropy_with_logits(logits, torch.nan_to_num(labels), reduction="none",
                                              pos_weight=positive_weight)
    return (loss * seen).sum() / seen.sum().clamp(min=1)


def train_labels(model: ECGEncoder, data: Data, split: dict[str, np.ndarray], preset: Preset, *,
                 seed: int, device: torch.device, fine_tune: bool = False,
                 progress: Progress | None = None,
                 checkpoint: Callable[[History], None] | None = None) -> History:
    """Stage 3, and the supervised baseline: an encoder with a head, trained on all labels together.

    Args:
        model: encoder with `outputs` = phenotypes + labels, on the device.
        data, split, preset, seed, device: as `train_mdm`.
        fine_tune: take the preset's `finetune` stage (layer-wise learning rates) instead of
            `supervised`.
    Returns:
        History (score = validation loss).
    Raises:
        As `fit`.
    Source: Turgut et al. 2025, section 3.3 and the supervised baseline of section 4.
    Differs: one network for all outputs instead of one a task, so that it fits the same budget;
        rare labels are weighted by the square root of their odds instead of sub-sampled.
    """
    stage, targets = (preset.finetune if fine_tune else preset.supervised), data.targets
    K = targets.shape[1]
    generator = torch.Generator().manual_seed(seed)
    groups = layer_decay(model, stage.layer_decay, stage.weight_decay)
    optimiser = torch.optim.AdamW(groups, lr=0.0, betas=stage.betas)
    share = np.clip(_mean_label(data.labels[split["train"]]), 1e-3, 1 - 1e-3)
    weight = torch.tensor(((1 - share) / share) ** 0.5, dtype=torch.float32, device=device)

    def loss_from(x: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        output = model(x)  # [B, K + labels]
        target = torch.from_numpy(targets[rows]).to(device)
        label = torch.from_numpy(data.labels[rows]).to(device)
        return masked_mse(output[:, :K], target) + masked_bce(output[:, K:], label, weight)

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        x = ecg_view(data.signals(rows, device), stage.view, preset.window, generator)[:, None]
        return loss_from(x, rows)

    def validate() -> float:
        parts = list(chunks(split["val"]))
        losses = [float(loss_from(centre(data.signals(p, device), preset.window), p))
                  for p in parts]
        return float(np.average(losses, weights=[len(p) for p in parts]))

    return fit("fine-tuning" if fine_tune else "supervised", model, optimiser, stage,
               split["train"], loss_of, validate, seed=seed, higher_is_better=False,
               progress=progress, checkpoint=checkpoint)


def _mean_label(labels: np.ndarray) -> np.ndarray:
    """Mean of the observed labels per column, 0.5 where none is observed: [n, K] -> [K]."""
    seen = ~np.isnan(labels)
    count = seen.sum(axis=0)
    return np.where(count > 0, np.nansum(labels, axis=0) / np.maximum(count, 1), 0.5)
