"""The built-in adapter, residual network: batch norm, stem, blocks, the CMR encoder."""

from __future__ import annotations

from torch import nn

from reference.conformance.builtin.networks import directed, module_of
from reference.conformance.builtin.tools import Results, leaves
from reference.conformance.vectors import Case
from reference.encoders import BasicBlock, Bottleneck, CMREncoder


def _sizes(case: Case) -> tuple[int, int, int]:
    return case.config["inputs"], case.config["width"], case.config["stride"]


def batch_norm(case: Case, dtype: str) -> Results:
    """The first norm of a block."""
    given, width = leaves(case, dtype), case.config["width"]
    block = module_of(case, dtype, lambda: BasicBlock(width, width, 1), ("conv", "bn2"))
    return directed(case, block, given, lambda: block.bn1(given["x"]))


def cmr_stem(case: Case, dtype: str) -> Results:
    """What reaches the first stage."""
    def build() -> CMREncoder:
        model = CMREncoder(case.config["arch"])
        for stage in range(1, 5):
            setattr(model, f"layer{stage}", nn.Identity())
        return model

    given, model = leaves(case, dtype), module_of(case, dtype, build)
    return directed(case, model, given, lambda: model.feature_map(given["x"]))


def basic_block(case: Case, dtype: str) -> Results:
    """Two convolutions and a shortcut."""
    given, module = leaves(case, dtype), module_of(case, dtype, lambda: BasicBlock(*_sizes(case)))
    return directed(case, module, given, lambda: module(given["x"]))


def bottleneck(case: Case, dtype: str) -> Results:
    """Three convolutions and a shortcut."""
    given, module = leaves(case, dtype), module_of(case, dtype, lambda: Bottleneck(*_sizes(case)))
    return directed(case, module, given, lambda: module(given["x"]))


def cmr_encoder(case: Case, dtype: str) -> Results:
    """Maps of the stages and the mean of the last one."""
    given = leaves(case, dtype)
    model = module_of(case, dtype, lambda: CMREncoder(case.config["arch"]))
    return directed(case, model, given, lambda: model.features(given["x"]))


COMPONENTS = {function.__name__: function for function in (
    batch_norm, cmr_stem, basic_block, bottleneck, cmr_encoder)}
