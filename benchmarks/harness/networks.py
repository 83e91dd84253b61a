"""Networks that several operations run, at the paper's width.

    MDM_SIZE = D, depth, H, D', decoder depth, H'      of stage 1; D, DEPTH, H are the encoder's
    K = 59 of L = 300 patches stay while masked, and the class token beside them

Glossary: L patch tokens, K visible ones, D width, H heads, primes the decoder's.
Source: Turgut et al. 2025, sections 3.1 and 3.2.
"""

from __future__ import annotations

from torch import nn

from benchmarks.harness.counts import PATCHES
from reference.encoders import ECG_SIZES, CMREncoder, ECGEncoder
from reference.masked_modelling import MDM_SIZES, MaskedAutoencoder
from reference.masking import kept_tokens
from reference.training import MMCL

MDM_SIZE = MDM_SIZES["tiny"]
D, DEPTH, H = ECG_SIZES["tiny"]
RATIO = 0.8  # of the patches, masked
K = kept_tokens(PATCHES, RATIO)
HIDDEN, EMBEDDING = 512, 128  # of the projection heads


class Half(nn.Module):
    """A masked autoencoder of which one half is run: gradients are taken of what that half uses."""

    def __init__(self, decoder: bool):
        super().__init__()
        self.whole = autoencoder()
        for name, parameter in self.whole.named_parameters():
            used = name.startswith(("decoder", "mask_token")) == decoder
            parameter.requires_grad_(parameter.requires_grad and used)


def autoencoder() -> MaskedAutoencoder:
    """Both halves of stage 1."""
    dim, depth, heads, decoder_dim, decoder_depth, decoder_heads = MDM_SIZE
    return MaskedAutoencoder(dim=dim, depth=depth, heads=heads, decoder_dim=decoder_dim,
                             decoder_depth=decoder_depth, decoder_heads=decoder_heads)


def ecg_encoder() -> ECGEncoder:
    """The ECG encoder of stage 2 and of the probes."""
    return ECGEncoder(dim=D, depth=DEPTH, heads=H)


def both_encoders(arch: str) -> MMCL:
    """Both encoders of stage 2 with their projection heads; `arch` is a key of CMR_SIZES."""
    return MMCL(ecg_encoder(), CMREncoder(arch), HIDDEN, EMBEDDING)
