"""One training step of stage 2: x [B, 1, 12, 2500], image [B, 3, size, size] -> loss.

Both encoders, projection heads, CLIP loss, backward and Adam, on views that are already made.
`compiled`: encoders and heads through torch.compile.

    flops  3 (B encoders and heads + 2 B^2 E) without the gradients of signal and image
    bytes  a model, not a minimum: the image network's convolutions forward and backward (norms and
           activations free), 117 reads or writes of a token's width a layer of the ECG encoder
           (`counts`), and 28 bytes a parameter for the optimiser

Checked over two steps, so that the update counts too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.harness import counts
from benchmarks.harness.measure import Draw, wide
from benchmarks.harness.networks import DEPTH, EMBEDDING, HIDDEN, D, both_encoders
from benchmarks.harness.roofline import Work, convolution_precision
from benchmarks.harness.variants import compiled, itemsize, precision, words
from reference.contrastive_loss import clip_loss
from reference.training import MMCL

FEATURES = {"resnet50": 2048, "resnet18": 512}
PARAMETERS = {"resnet50": 30_300_000, "resnet18": 17_200_000}  # both encoders and heads
# arch, pixels, B
SHAPES = {"resnet18-78px-B2": ("resnet18", 78, 2), "resnet18-B256": ("resnet18", 210, 256),
          "resnet50-B64": ("resnet50", 210, 64), "resnet50-B128": ("resnet50", 210, 128),
          "resnet50-B256": ("resnet50", 210, 256)}
CPU_SHAPES = ("resnet18-78px-B2",)
PAPER = ("resnet50-B256",)
AXES = ("step",)
IMPLEMENTATIONS = ("float32", "bfloat16", "bfloat16-compiled")
CPU_IMPLEMENTATIONS = ("float32",)


def work(arch: str, size: int, B: int, computed: str = "float32") -> Work:
    """Counted work of one step on B pairs."""
    heads = 2 * HIDDEN * (D + FEATURES[arch] + 2 * EMBEDDING)
    encoders = counts.encoder(D, DEPTH) + counts.resnet(arch, size)
    forward = B * (encoders + heads) + 2 * B**2 * EMBEDDING
    layers = list(counts.convolutions(arch, size))
    spared = B * (counts.patch_embedding(D) + layers[0].flops)
    width = itemsize(computed)
    moved = (sum(counts.traffic(layers, B, axis, width) for axis in ("forward", "backward"))
             + 3 * B * counts.block_traffic(counts.PATCHES + 1, D, DEPTH) * width
             + counts.ADAM_BYTES * PARAMETERS[arch])
    return Work(3 * forward - spared, moved, precision=computed)


def step(model: MMCL, device: torch.device, implementation: str = "float32") -> Callable:
    """A callable (x, image) -> loss that trains the model by one step a call."""
    cuda, half = device.type == "cuda", "bfloat16" in words(implementation)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-4, fused=cuda,
                                 capturable=cuda)

    def embed(x: torch.Tensor, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return model.embed_cmr(image), model.embed_ecg(x)

    if "compiled" in words(implementation):
        embed = compiled(embed)

    def train(x: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            z_cmr, z_ecg = embed(x, image)
        loss = clip_loss(z_cmr, z_ecg)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return train


def inputs(size: int, B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Signals [B, 1, 12, 2500], images [B, 3, size, size] in [0, 1]."""
    image = draw.uniform(B, 3, size, size)
    return draw.normal(B, 1, 12, 2500), image.to(memory_format=torch.channels_last)


def test_mmcl_step(measure, device, shape, implementation, axis):
    arch, size, B = SHAPES[shape]
    torch.manual_seed(0)
    model = both_encoders(arch).to(device).to(memory_format=torch.channels_last)
    exact = step(wide(model), device)
    dtype = precision(implementation, convolution_precision(device))
    tolerance = {"float32": 1e-3, "tf32": 3e-2, "bfloat16": 1e-1}[dtype]
    measure(step(model, device, implementation), lambda draw: inputs(size, B, draw),
            work(arch, size, B, dtype), exact, tolerance)
