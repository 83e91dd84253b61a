"""What a trained model makes of prepared data: features, maps, reconstructions.

Glossary: n rows, D C feature widths of ECG and CMR encoder, T samples, h w cells or pixels.
Source: Turgut et al. 2025, sections 3.3 and 4.
"""

from __future__ import annotations

import numpy as np
import torch

from reference.augmentation import resize
from reference.encoders import CMREncoder, ECGEncoder
from reference.experiment.runs import Work
from reference.localisation import similarity_maps, upsample_cmr, upsample_ecg
from reference.masked_modelling import MaskedAutoencoder
from reference.presets import Preset
from reference.training import MMCL, Data, centre, chunks


def ecg_features(encoder: ECGEncoder | MaskedAutoencoder, data: Data, rows: np.ndarray,
                 window: int, device: torch.device) -> np.ndarray:
    """Frozen pooled features of the validation view: rows [n] -> [n, D] float32.

    A masked autoencoder gives the mean of its normalised patch tokens.
    """
    encoder.eval()
    parts = []
    with torch.no_grad():
        for part in chunks(rows):
            x = centre(data.signals(part, device), window)
            features = (encoder.features(x) if isinstance(encoder, ECGEncoder)
                        else encoder.encode_all(x)[:, 1:].mean(dim=1))
            parts.append(features.cpu().numpy())
    return np.concatenate(parts)


def cmr_features(encoder: CMREncoder, data: Data, rows: np.ndarray, size: int,
                 device: torch.device) -> np.ndarray:
    """Frozen pooled features of the resized heart boxes: rows [n] -> [n, C] float32."""
    encoder.eval()
    with torch.no_grad():
        return np.concatenate([encoder.features(resize(data.images(part, device), size))
                               .cpu().numpy() for part in chunks(rows)])


def subject_maps(model: MMCL, work: Work, row: int) -> dict[str, np.ndarray]:
    """Similarity maps of one row.

    Args:
        model: on the device of the work.
        work: data and settings.
        row: of the data.
    Returns:
        "ecg", "ecg_map" [12, T]; "image" [3, h, w], "cmr_map" [h, w]; "pairwise" [steps, h', w'].
        The image is the heart box as the encoder sees it; the first two maps are upsampled to trace
        and image.
    """
    rows, preset = np.array([row]), work.preset
    with torch.no_grad():
        x = centre(work.data.signals(rows, work.device), preset.window)
        image = resize(work.data.images(rows, work.device), preset.image_size)
        height, width = image.shape[-2:]
        cells = model.cmr.feature_map(image).permute(0, 2, 3, 1)  # [1, h, w, C]
        maps = similarity_maps(model.embed_cmr(image), model.embed_ecg(x), model.cmr_head(cells),
                               model.ecg_head(model.ecg.tokens(x)), model.ecg.grid)
        return {"ecg": x[0, 0].cpu().numpy(),
                "ecg_map": upsample_ecg(maps.ecg, preset.window)[0].cpu().numpy(),
                "image": image[0].cpu().numpy(),
                "cmr_map": upsample_cmr(maps.cmr, (height, width))[0].cpu().numpy(),
                "pairwise": maps.pairwise[0].cpu().numpy()}


def reconstruct_window(model: MaskedAutoencoder, x: torch.Tensor, preset: Preset, seed: int
                       ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask one window and reconstruct it.

    Args:
        model: trained masked autoencoder, on the device of x.
        x: [1, 1, 12, window], cleaned.
        preset: for the mask ratio.
        seed: of the mask.
    Returns:
        reconstruction [12, window], mask [12, steps] (1 = hidden), NCC per lead [12].
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, model.grid[0] * model.grid[1], generator=generator).to(x.device)
    with torch.no_grad():
        latent, mask = model.encode(x, noise, preset.mask_ratio)
        prediction = model.decode(latent, mask)
        ncc = model.ncc(x, prediction)[0, 0]
    shown = model.unpatchify(prediction)[0, 0]
    return (shown.cpu().numpy(), mask.mask.reshape(model.grid).cpu().numpy(), ncc.cpu().numpy())
