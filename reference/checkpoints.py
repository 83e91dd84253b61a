"""Files of weights: written atomically, read without running anything, and the authors' own files.

    save(path, {"model": state dict, ...})          temporary name, then rename
    load(path) -> mapping                           tensors and plain containers only
    load_authors_weights(path) -> module            ECGEncoder, CMREncoder or MaskedAutoencoder

Glossary: D width, L patch tokens, P samples a patch, H heads (not in any file).
Source: state-dict names of timm, MAE and torchvision, which the authors' files use.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from reference.atomic import replacing
from reference.cohort.format import LEADS
from reference.encoders import CMR_SIZES, ECG_SIZES, CMREncoder, ECGEncoder
from reference.masked_modelling import MDM_SIZES, MaskedAutoencoder
from reference.transformer import Block

Model = TypeVar("Model", bound=nn.Module)

_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
# What torch.load raises on a file that is damaged or holds more than tensors.
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError,
               AttributeError, IndexError, AssertionError, OSError, OverflowError, struct.error)


def save(path: str | os.PathLike, content: Mapping) -> None:
    """Write a checkpoint so that a crash leaves either the old file or the new one.

    Args:
        path: destination; its directory must exist.
        content: mapping of tensors and plain values.
    """
    with replacing(path) as file:
        torch.save(dict(content), file)


def load(path: str | os.PathLike) -> dict:
    """Read a checkpoint without executing pickled code.

    Args:
        path: a file written by `save`, or by `torch.save` of tensors, plain containers and an
            argparse Namespace.
    Returns:
        The mapping, tensors on the CPU.
    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, is no mapping, or holds anything that would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        content = _load_tensors(path)
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} was refused: only tensors and plain containers are loaded, "
                         f"never code ({_reason(error, reason)})") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, a mapping is needed")
    return dict(content)


def _load_tensors(path: Path) -> object:
    """torch.load with weights_only, an argparse Namespace allowed for this one call.

    A Namespace is plain data: its construction sets attributes and runs nothing.
    """
    serialization = torch.serialization
    if hasattr(serialization, "safe_globals"):
        with serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    before = serialization.get_safe_globals()
    serialization.add_safe_globals([argparse.Namespace])
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(before)


def _reason(error: Exception, first_line: str) -> str:
    found = re.search(r"(?:GLOBAL|global|class)\s+([\w.]+)", str(error))
    return f"found {found.group(1)}" if found else first_line[:120]


def load_authors_weights(source: str | os.PathLike | Mapping, *, pooling: str = "average",
                         heads: int | None = None, decoder_heads: int | None = None) -> nn.Module:
    """Build the module that a file of weights belongs to, and fill it.

    Args:
        source: a path, or a loaded mapping: a bare state dict, {"model": ...} or
            {"state_dict": ...}.
        pooling: for signal encoders, "average", "attention" or "cls".
        heads: attention heads of the encoder; needed unless width and depth are a named size.
        decoder_heads: the same for the decoder of a masked autoencoder.
    Returns:
        MaskedAutoencoder if there is a decoder, ECGEncoder if there are ECG patches, CMREncoder if
        there are image convolutions; in evaluation mode, sizes read from the tensors.
    Raises:
        FileNotFoundError: no such file.
        TypeError: source is neither a path nor a mapping.
        ValueError: the file would execute code, the keys belong to none of the three, tensors are
            missing, left over or of the wrong shape, or a head count must be given.
    Source: authors' published files.
    Differs: signal encoders come without `fc_norm` and with an unused `norm`: with average and
        attention pooling a missing `fc_norm` starts as the identity and `norm` is left out.
    """
    if isinstance(source, (str, os.PathLike)):
        source = load(source)
    if not isinstance(source, Mapping):
        raise TypeError(f"source must be a path or a mapping, got {type(source).__name__}")
    state = _state(source)
    if "decoder_pred.weight" in state:
        return _autoencoder(state, heads, decoder_heads).eval()
    if "patch_embed.proj.weight" in state:
        return _ecg_encoder(state, pooling, heads).eval()
    image = _image_state(state)
    if "conv1.weight" in image:
        return _cmr_encoder(image).eval()
    raise ValueError("the keys belong to no ECG encoder, CMR encoder or masked autoencoder; first "
                     f"keys: {sorted(map(str, state))[:4]}")


def _state(source: Mapping) -> dict[str, torch.Tensor]:
    for wrapper in ("model", "state_dict"):
        if isinstance(source.get(wrapper), Mapping):
            source = source[wrapper]
    state = {name.removeprefix("module."): torch.as_tensor(value) for name, value in source.items()
             if isinstance(name, str) and isinstance(value, (torch.Tensor, np.ndarray))}
    if not state:
        raise ValueError(f"no tensors among the keys {sorted(map(str, source))[:6]}")
    return state


def _sizes(state: dict, name: str, *axes: str) -> tuple[int, ...]:
    """Shape of a tensor from which sizes are read; refused where missing or of other axes."""
    got = list(state[name].shape) if name in state else []
    if len(got) != len(axes) or 0 in got:
        raise ValueError(f"{name} must be [{', '.join(axes)}], got {got or 'nothing'}")
    return tuple(got)


def _depth(state: dict, blocks: str) -> int:
    """Number of blocks, from the highest number in the names."""
    numbers = [int(n.split(".")[1]) for n in state if re.match(rf"{blocks}\.\d+\.", n)]
    if not numbers:
        raise ValueError(f"{blocks}.0 is missing: there are no {blocks} in the file")
    return 1 + max(numbers)


def _geometry(state: dict) -> tuple[tuple[int, int, int], tuple[int, int], int, int]:
    """(channels, leads, samples), patch, width, depth from the tensors of a signal model."""
    D, C, pv, pt = _sizes(state, "patch_embed.proj.weight", "width", "channels", "leads", "samples")
    leads = len(LEADS)
    L, rows = _sizes(state, "pos_embed", "1", "1 + tokens", "width")[1] - 1, leads // pv
    if leads % pv or L < 1 or L % rows:
        raise ValueError(f"{L} tokens of {pv} leads do not make {leads} leads")
    return (C, leads, L // rows * pt), (pv, pt), D, _depth(state, "blocks")


def _heads(heads: int | None, size: tuple[int, ...], named: dict[tuple, int], name: str) -> int:
    if heads is None and size not in named:
        raise ValueError(f"(width, depth) {size} is none of the named sizes {sorted(named)}: the "
                         f"number of heads is not in the file, pass {name}=")
    return named[size] if heads is None else heads


def _ecg_encoder(state: dict, pooling: str, heads: int | None) -> ECGEncoder:
    input_size, patch, D, depth = _geometry(state)
    heads = _heads(heads, (D, depth), {size[:2]: size[2] for size in ECG_SIZES.values()}, "heads")
    if pooling != "attention" and any(name.startswith("attention_pool.") for name in state):
        raise ValueError(f"the file holds an attention pooling, pass pooling='attention' (got "
                         f"{pooling!r})")
    outputs = _sizes(state, "head.weight", "outputs", "width")[0] if "head.weight" in state else 0
    model = ECGEncoder(input_size, patch, D, depth, heads, pooling, outputs=outputs)
    unused = "fc_norm." if pooling == "cls" else "norm."
    state = {name: value for name, value in state.items() if not name.startswith(unused)}
    fresh = ("attention_pool.", "fc_norm.")
    return _fill(model, state, optional=fresh)


def _autoencoder(state: dict, heads: int | None, decoder_heads: int | None) -> MaskedAutoencoder:
    input_size, patch, D, depth = _geometry(state)
    decoder_dim, _ = _sizes(state, "decoder_embed.weight", "decoder width", "width")
    decoder_depth = _depth(state, "decoder_blocks")
    heads = _heads(heads, (D, depth), {s[:2]: s[2] for s in MDM_SIZES.values()}, "heads")
    decoder_heads = _heads(decoder_heads, (decoder_dim, decoder_depth),
                           {s[3:5]: s[5] for s in MDM_SIZES.values()}, "decoder_heads")
    consistency = any(name.startswith("projector.") for name in state)
    model = MaskedAutoencoder(input_size, patch, D, depth, heads, decoder_dim, decoder_depth,
                              decoder_heads, consistency=consistency)
    return _fill(model, state)


def _image_state(state: dict) -> dict[str, torch.Tensor]:
    """Names of a ResNet, whether they came as a Sequential of its children or as they are."""
    image = {}
    for name, value in state.items():
        name = name.removeprefix("encoder_imaging.")
        child, _, rest = name.partition(".")
        image[f"{_CHILDREN.get(child, child)}.{rest}"] = value
    return image


def _cmr_encoder(state: dict) -> CMREncoder:
    state = {n: v for n, v in state.items() if re.match(r"(conv1|bn1|layer[1-4])\.", n)}
    for arch in CMR_SIZES:
        model = CMREncoder(arch)
        want = {name: value.shape for name, value in model.state_dict().items()}
        if want.keys() == state.keys() and all(want[n] == state[n].shape for n in want):
            return _fill(model, state)
    raise ValueError(f"{len(state)} image tensors fit none of {sorted(CMR_SIZES)}")


def _fill(model: Model, state: dict, optional: tuple[str, ...] = ()) -> Model:
    want = model.state_dict()
    missing = [n for n in want if n not in state and not n.startswith(optional or ("\0",))]
    extra = [n for n in state if n not in want]
    if missing or extra:
        raise ValueError(f"weights do not fit {type(model).__name__}: missing {missing[:4]}, left "
                         f"over {extra[:4]}")
    for name, value in state.items():
        if value.shape != want[name].shape:
            raise ValueError(f"{name} must be {list(want[name].shape)}, got {list(value.shape)}")
    model.load_state_dict(state, strict=False)
    return model


def encoder_from_autoencoder(source: MaskedAutoencoder, pooling: str = "average", **options: Any
                             ) -> ECGEncoder:
    """Stage-2 or stage-3 encoder from a stage-1 model: its weights without decoder and last norm.

    Args:
        source: the trained masked autoencoder.
        pooling: as `ECGEncoder`; "cls" takes the last norm along.
        options: further arguments of `ECGEncoder`.
    Returns:
        A new encoder with copied weights, a fresh `fc_norm`, and a trainable position embedding.
    Source: Turgut et al. 2025, section 3.2; authors' code.
    """
    first = cast(Block, source.blocks[0])
    model = ECGEncoder(source.input_size, source.patch_size, source.cls_token.shape[-1],
                       len(source.blocks), first.attn.heads, pooling, **options)
    want = model.state_dict()
    state = {name: value for name, value in source.state_dict().items() if name in want}
    model.load_state_dict(state, strict=False)
    return model
