"""Networks that several operations run: what is trained of a half, and the paper's sizes."""

from __future__ import annotations

from benchmarks.harness import networks
from tests.support.benchmarking import parameters
from tests.support.helpers import assert_close, assert_equal


def test_halves_share_out_the_parameters():
    names = [{name for name, p in network.named_parameters() if p.requires_grad}
             for network in (networks.Half(decoder=False).whole, networks.Half(decoder=True).whole,
                             networks.autoencoder())]
    assert not names[0] & names[1] and names[0] | names[1] == names[2]
    assert {"cls_token", "patch_embed.proj.weight"} <= names[0]
    assert {"mask_token", "decoder_pred.weight"} <= names[1]


def test_sizes_are_those_of_the_paper():
    assert_equal("visible", networks.K, 59)  # a share of 0.8 of 300 patches is masked, and one more
    assert_equal("encoders", networks.MDM_SIZE[:3], (networks.D, networks.DEPTH, networks.H))
    assert_close("stage 1", parameters(networks.autoencoder()), 7.05e6, rtol=5e-3)
    assert_close("stage 2", parameters(networks.both_encoders("resnet50")), 30.3e6, rtol=5e-3)
