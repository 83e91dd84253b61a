"""FLOP and byte counts of networks against counted operations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.harness import counts, networks
from reference.encoders import CMREncoder
from reference.transformer import Block, PatchEmbedding
from tests.support.benchmarking import counted
from tests.support.helpers import assert_equal


@pytest.mark.parametrize("arch, size", [("resnet18", 78), ("resnet18", 75), ("resnet50", 97),
                                        ("resnet10_narrow", 33)])
def test_resnet_and_traffic(arch, size):
    network = CMREncoder(arch).eval()
    image = torch.rand(2, 3, size, size)
    layers = list(counts.convolutions(arch, size))
    assert_equal("flops", 2 * counts.resnet(arch, size), counted(network, (image,), "forward"))
    seen = []
    hooks = [part.register_forward_hook(
        lambda part, given, out: seen.append((given[0].numel(), out.numel(), part.weight.numel())))
        for part in network.modules() if isinstance(part, nn.Conv2d)]
    network(image)
    for hook in hooks:
        hook.remove()
    read, written, weights = (sum(column) for column in zip(*seen, strict=True))
    assert_equal("bytes", counts.traffic(layers, 2, "forward"),
                 4 * (read + written + weights))
    assert_equal("backward bytes", counts.traffic(layers, 2, "backward", 2),
                 2 * (2 * read + written + 2 * weights))


def test_blocks():
    network, z = nn.Sequential(Block(8, 2), Block(8, 2)), torch.rand(3, 5, 8)
    assert_equal("flops", 3 * counts.blocks(5, 8, 2), counted(network, (z,), "forward"))


def test_block_traffic():
    assert_equal("elements", counts.block_traffic(5, 8, 2), 39 * 5 * 8 * 2)


def test_patch_embedding_and_encoder():
    x = torch.rand(2, 1, 12, 2500)
    assert_equal("flops", 2 * counts.patch_embedding(8),
                 counted(PatchEmbedding((1, 12, 2500), (1, 100), 8), (x,), "forward"))
    assert_equal("flops", 2 * counts.encoder(networks.D, networks.DEPTH),
                 counted(networks.ecg_encoder(), (x,), "forward"))


def test_masked_autoencoder():
    inputs = torch.rand(2, 1, 12, 2500), torch.rand(2, counts.PATCHES), networks.RATIO
    assert_equal("flops", 2 * counts.masked_autoencoder(networks.MDM_SIZE, networks.K),
                 counted(networks.autoencoder(), inputs, "forward"))
