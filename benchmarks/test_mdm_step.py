"""One training step of stage 1 at the paper's shapes: x [B, 1, 12, 2500], noise [B, 300] -> loss.

Forward, loss, backward and AdamW, on views that are already cut. `compiled`: the forward and
backward pass through torch.compile.

    flops  B (3 forward - patch embedding), the latter because the input needs no gradient
    bytes  a model, not a minimum: 117 reads or writes of a token's width a layer (`counts`, forward
           and backward); 28 bytes a parameter for the optimiser

Checked over two steps, so that the update counts too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.harness import counts
from benchmarks.harness.measure import Draw, wide
from benchmarks.harness.networks import MDM_SIZE, RATIO, K, autoencoder
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled, itemsize, precision, words
from reference.loop import matrices_only
from reference.masked_modelling import MaskedAutoencoder

LEARNING_RATE = 3.2e-4
PARAMETERS = 7_050_000  # 5.36 M encoder, 1.70 M decoder
SHAPES = {"B2": 2, "B64": 64, "B128": 128, "B256": 256, "B512": 512}
CPU_SHAPES = ("B2",)
PAPER = ("B128",)
AXES = ("step",)
IMPLEMENTATIONS = ("float32", "bfloat16", "bfloat16-compiled")
CPU_IMPLEMENTATIONS = ("float32",)


def work(B: int, computed: str = "float32") -> Work:
    """Counted work of one step on B records."""
    dim, depth, _, decoder_dim, decoder_depth, _ = MDM_SIZE
    elements = 3 * (counts.block_traffic(K + 1, dim, depth)
                    + counts.block_traffic(counts.PATCHES + 1, decoder_dim, decoder_depth))
    return Work(B * (3 * counts.masked_autoencoder(MDM_SIZE, K) - counts.patch_embedding(dim)),
                B * elements * itemsize(computed) + counts.ADAM_BYTES * PARAMETERS,
                precision=computed)


def step(model: MaskedAutoencoder, device: torch.device,
         implementation: str = "float32") -> Callable:
    """A callable (x, noise) -> loss that trains the model by one step a call."""
    cuda, half = device.type == "cuda", "bfloat16" in words(implementation)
    network = compiled(model) if "compiled" in words(implementation) else model
    optimiser = torch.optim.AdamW(matrices_only(model, 0.15), lr=LEARNING_RATE, betas=(0.9, 0.95),
                                  fused=cuda, capturable=cuda)

    def train(x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            loss = network(x, noise, RATIO)[0]
        loss.backward()
        optimiser.step()
        return loss.detach()

    return train


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Views [B, 1, 12, 2500], mask noise [B, 300]."""
    return draw.normal(B, 1, 12, 2500), draw.uniform(B, counts.PATCHES)


def test_mdm_step(measure, device, shape, implementation, axis):
    torch.manual_seed(0)
    model = autoencoder().to(device)
    exact = step(wide(model), device)
    B = SHAPES[shape]
    dtype = precision(implementation)
    measure(step(model, device, implementation), lambda draw: inputs(B, draw), work(B, dtype),
            exact, 2e-2 if dtype == "bfloat16" else 1e-4)
