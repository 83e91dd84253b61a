"""What the cases of the networks share: parameters by formula, results with their gradients.

A component that has no loss of its own gets one, the sum of its output times `in/direction`.
"""

from __future__ import annotations

import math

import numpy as np

from reference.conformance.vectors import representable
from tests.oracle.drafts import Formula
from tests.oracle.layers import Net
from tests.oracle.transformer import position_table

Shapes = dict[str, tuple[int, ...]]


def linear_shapes(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    """Weight and bias of a linear map."""
    return {f"{name}.weight": (outputs, inputs), **({f"{name}.bias": (outputs,)} if bias else {})}


def norm_shapes(name: str, width: int) -> Shapes:
    """Weight and bias of a normalisation."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def attention_shapes(name: str, D: int) -> Shapes:
    """Self-attention with a fused q k v."""
    return {**linear_shapes(f"{name}qkv", D, 3 * D), **linear_shapes(f"{name}proj", D, D)}


def block_shapes(name: str, D: int) -> Shapes:
    """Transformer block; `name` ends in a dot, or is empty."""
    return {**norm_shapes(f"{name}norm1", D), **attention_shapes(f"{name}attn.", D),
            **norm_shapes(f"{name}norm2", D), **linear_shapes(f"{name}mlp.fc1", D, 4 * D),
            **linear_shapes(f"{name}mlp.fc2", 4 * D, D)}


def embedding_shapes(config: dict) -> Shapes:
    """Class token, patch map and blocks of an ECG encoder."""
    D, C = config["dim"], config["input_size"][0]
    shapes = {"cls_token": (1, 1, D), "patch_embed.proj.weight": (D, C, *config["patch_size"]),
              "patch_embed.proj.bias": (D,)}
    for i in range(config["depth"]):
        shapes |= block_shapes(f"blocks.{i}.", D)
    return shapes


def pool_shapes(pooling: str, D: int) -> Shapes:
    """Pooling of an ECG encoder."""
    name = "attention_pool"
    inner = {f"{name}.in_proj_weight": (3 * D, D), f"{name}.in_proj_bias": (3 * D,),
             **linear_shapes(f"{name}.out_proj", D, D)}
    return {**(inner if pooling == "attention" else {}),
            **norm_shapes("norm" if pooling == "cls" else "fc_norm", D)}


def decoder_shapes(config: dict) -> Shapes:
    """Decoder of the masked autoencoder."""
    D, P = config["decoder_dim"], config["input_size"][0] * math.prod(config["patch_size"])
    shapes = {"mask_token": (1, 1, D), **linear_shapes("decoder_embed", config["dim"], D)}
    for i in range(config["decoder_depth"]):
        shapes |= block_shapes(f"decoder_blocks.{i}.", D)
    return {**shapes, **norm_shapes("decoder_norm", D), **linear_shapes("decoder_pred", D, P)}


def grid_of(config: dict) -> tuple[int, int]:
    """(leads, steps)."""
    _, V, T = config["input_size"]
    return V // config["patch_size"][0], T // config["patch_size"][1]


def table(name: str, dim: int, config: dict) -> dict[str, np.ndarray]:
    """Position table of a network, as a given parameter."""
    return {f"param/{name}": representable(position_table(dim, *grid_of(config)))[None]}


def parameters(rng: np.random.Generator, shapes: Shapes) -> dict[str, Formula]:
    """Formula of every parameter: matrices of variance 1 / inputs, scales near one."""
    first, given = int(rng.integers(2**31)), {}
    for seed, (name, shape) in enumerate(shapes.items(), first):
        near_one = len(shape) == 1 and name.endswith(("weight", "running_var"))
        plain = len(shape) == 1 or name.endswith("token")
        scale = 0.2 if plain else round(1 / math.sqrt(math.prod(shape[1:])), 3)
        given[f"param/{name}"] = Formula(tuple(shape), seed, scale, 1.0 if near_one else 0.0)
    return given


def drawn(rng: np.random.Generator, *shape: int, scale: float = 1.0, shift: float = 0.0
          ) -> Formula:
    """A large input by formula."""
    return Formula(shape, int(rng.integers(2**31)), scale, shift)


def image(rng: np.random.Generator, *shape: int) -> Formula:
    """Images on [0, 1] by formula."""
    return drawn(rng, *shape, scale=0.28, shift=0.5)


def net_of(given: dict, training: bool = False) -> Net:
    """The parameters among the given tensors, ready to run."""
    return Net({name.split("/", 1)[1]: value.value() if isinstance(value, Formula) else value
                for name, value in given.items() if name.startswith("param/")}, training)


def directed(net: Net, y: np.ndarray, back, direction: np.ndarray, fixed=(),
             inputs: str = "x") -> dict[str, np.ndarray]:
    """Output, its product with a direction, and the gradients of that product."""
    by_input = back(direction)
    return {"out/y": y, "loss/total": np.array((y * direction).sum()), f"grad/{inputs}": by_input,
            **by_parameter(net, fixed)}


def noted(net: Net, *names: str) -> dict[str, np.ndarray]:
    """Outputs of layers as intermediate results; without names, of every layer of parameters."""
    chosen = names or [name for name in net.outputs if f"{name}.weight" in net]
    return {f"mid/{name}": net.outputs[name] for name in chosen}


def by_parameter(net: Net, fixed=()) -> dict[str, np.ndarray]:
    """Gradients in the order of the parameters, without the fixed ones."""
    return {f"grad/{name}": net.grads[name] for name in net.values
            if name in net.grads and name not in fixed}


def sampled(results: dict, entries: int) -> dict[str, int]:
    """`every` of the results with more than twice as many entries: about so many are kept.

    The stride shares no factor with the size, so no row or column is favoured.
    """
    every = {}
    for name, value in results.items():
        size = np.size(value)
        if size > 2 * entries:
            every[name] = next(k for k in range(size // entries, size) if math.gcd(k, size) == 1)
    return every


def batch_norm_shapes(name: str, width: int) -> Shapes:
    """Weight, bias and running statistics."""
    return {**norm_shapes(name, width), f"{name}.running_mean": (width,),
            f"{name}.running_var": (width,)}


def residual_shapes(name: str, inputs: int, width: int, stride: int, bottleneck: bool) -> Shapes:
    """Residual block; `name` ends in a dot, or is empty."""
    kernels, outputs = ((1, 3, 1), 4 * width) if bottleneck else ((3, 3), width)
    shapes, before = {}, inputs
    for number, kernel in enumerate(kernels, 1):
        after = outputs if number == len(kernels) else width
        shapes[f"{name}conv{number}.weight"] = (after, before, kernel, kernel)
        shapes |= batch_norm_shapes(f"{name}bn{number}", after)
        before = after
    if stride != 1 or inputs != outputs:
        shapes[f"{name}downsample.0.weight"] = (outputs, inputs, 1, 1)
        shapes |= batch_norm_shapes(f"{name}downsample.1", outputs)
    return shapes


def stem_shapes(width: int, kernel: int) -> Shapes:
    """First convolution on three phases."""
    return {"conv1.weight": (width, 3, kernel, kernel), **batch_norm_shapes("bn1", width)}


def narrow_resnet_shapes() -> Shapes:
    """The network "resnet10_narrow": one basic block a stage, 16 to 128 channels."""
    shapes, inputs = stem_shapes(16, 3), 16
    for stage, width in enumerate((16, 32, 64, 128), 1):
        stride = 1 if stage == 1 else 2
        shapes |= residual_shapes(f"layer{stage}.0.", inputs, width, stride, bottleneck=False)
        inputs = width
    return shapes
