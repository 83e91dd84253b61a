"""Encoders: parity with the authors, pooling by hand, residual blocks in loops, sizes, refusals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from reference.checkpoints import load_authors_weights
from reference.encoders import (
    CMR_SIZES,
    ECG_SIZES,
    BasicBlock,
    Bottleneck,
    CMREncoder,
    ECGEncoder,
    ProjectionHead,
    interpolate_position_embedding,
    sincos_position_embedding,
)
from tests.support import helpers
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    authors,
    larger_golden,
    portable_weights,
)

POOLINGS = ("cls", "average", "attention")
LARGER_KEYS = {"cls": "cls", "average": "avg", "attention": "attn"}


def state_shapes(name: str) -> dict:
    return json.loads((helpers.AUTHORS / f"{name}.state.json").read_text())


def portable_ecg() -> torch.Tensor:
    return torch.tensor(np.random.default_rng(1).standard_normal((2, 1, 12, 200)),
                        dtype=torch.float32)


def portable_encoder(pooling: str) -> ECGEncoder:
    state = portable_weights(state_shapes(f"ecg_encoder_{pooling}"), 4)
    state["pos_embed"] = sincos_position_embedding(24, (12, 10))[None]
    return load_authors_weights({"model": state}, pooling=pooling, heads=3)


def larger_encoder(golden: dict, pooling: str) -> ECGEncoder:
    prefix = f"w:{LARGER_KEYS[pooling]}:"
    state = {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}
    return load_authors_weights(state, pooling=pooling, heads=4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_features_portable(pooling):
    got = portable_encoder(pooling).features(portable_ecg())
    assert_parity(f"ECG encoder {pooling}", got, authors("ecg_encoder")[pooling], 1e-5, "portable")


def test_tokens_portable():
    got = portable_encoder("average").tokens(portable_ecg())
    assert_parity("ECG encoder tokens", got, authors("ecg_encoder")["tokens"], 1e-5, "portable")


@pytest.mark.parametrize("pooling", POOLINGS)
def test_features_larger(pooling):
    golden = larger_golden("ecg_encoder")
    got = larger_encoder(golden, pooling).features(torch.tensor(golden["input"]))
    want = golden[LARGER_KEYS[pooling]]
    assert_parity(f"ECG encoder {pooling}", got, want, 1e-5, "larger set")


def test_tokens_larger():
    golden = larger_golden("ecg_encoder")
    got = larger_encoder(golden, "average").tokens(torch.tensor(golden["input"]))
    assert_parity("ECG encoder tokens", got, golden["localized"], 1e-5, "larger set")


def test_authors_double_norm_larger():
    golden = larger_golden("finetune_head")
    state = {k[2:]: torch.tensor(v) for k, v in golden.items() if k.startswith("w:")}
    x = torch.tensor(golden["input"])
    logits = {}
    for double in (True, False):
        model = ECGEncoder((1, 12, 2500), (1, 100), 48, 2, 4, outputs=2, authors_double_norm=double)
        model.load_state_dict(state)
        logits[double] = model.eval()(x)
    assert_parity("fine-tuning features", model.features(x), golden["features"], 1e-5, "larger set")
    assert_parity("fine-tuning logits", logits[True], golden["logits"], 1e-5, "larger set")
    assert helpers.relative_error(logits[False], golden["logits"]) > 1e-3  # once is not twice


def tiny(pooling="average", **options) -> ECGEncoder:
    torch.manual_seed(0)
    return ECGEncoder((1, 12, 60), (1, 20), 8, 3, 2, pooling, **options).double().eval()


def record(count: int = 3) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).standard_normal((count, 1, 12, 60)))


def test_all_tokens_put_the_class_token_with_its_position_first():
    model, x = tiny(), record()
    z = model.patch_embed(x) + sincos_position_embedding(8, (12, 3))[1:].double()
    cls = model.cls_token.expand(3, 1, 8)  # its position is zero at first
    for moved in (0.0, 0.5):
        with torch.no_grad():
            model.pos_embed[:, 0] += moved
        want = torch.cat([cls + moved, z], dim=1)
        for block in model.blocks:
            want = block(want)
        assert_shape("tokens", model.tokens(x), (3, 36, 8))
        assert_close("all tokens", model.all_tokens(x), want, atol=1e-12)
        assert_equal("patch tokens", model.tokens(x), model.all_tokens(x)[:, 1:])


def layer_norm(row: np.ndarray) -> np.ndarray:
    return (row - row.mean()) / math.sqrt(((row - row.mean()) ** 2).mean() + 1e-6)


def attention_pool_oracle(pool: nn.MultiheadAttention, patches: np.ndarray) -> np.ndarray:
    weight, bias = pool.in_proj_weight.detach().numpy(), pool.in_proj_bias.detach().numpy()
    D, heads = patches.shape[1], pool.num_heads
    d, out = D // heads, np.zeros(D)
    query = weight[:D] @ patches.mean(axis=0) + bias[:D]
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        keys = [weight[D:2 * D][part] @ p + bias[D:2 * D][part] for p in patches]
        values = [weight[2 * D:][part] @ p + bias[2 * D:][part] for p in patches]
        exps = [math.exp(float(query[part] @ key) / math.sqrt(d)) for key in keys]
        out[part] = sum(e / sum(exps) * v for e, v in zip(exps, values, strict=True))
    return pool.out_proj.weight.detach().numpy() @ out + pool.out_proj.bias.detach().numpy()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pool_by_hand(pooling):
    model = tiny(pooling, attention_heads=4)
    z = torch.tensor(np.random.default_rng(1).standard_normal((2, 37, 8)))
    got = model.pool(z)
    for b, tokens in enumerate(z.numpy()):
        want = {"cls": tokens[0], "average": tokens[1:].mean(axis=0)}.get(pooling)
        if pooling == "attention":
            want = attention_pool_oracle(model.attention_pool, tokens[1:])
        assert_close(pooling, got[b], layer_norm(want), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_records_do_not_influence_each_other(pooling):
    model, x = tiny(pooling), record()
    assert_close("alone", model.features(x[1:2]), model.features(x)[1:2], atol=1e-12)


def test_forward_is_the_head_of_the_features_or_the_features():
    model, x = tiny(outputs=5), record()
    assert_shape("head", model(x), (3, 5))
    assert_close("head", model(x), model.head(model.features(x)), atol=1e-14)
    assert_equal("features", tiny()(x), tiny().features(x))
    twice = tiny(outputs=5, authors_double_norm=True)
    assert_close("twice", twice(x), twice.head(twice.fc_norm(twice.features(x))), atol=1e-14)
    plain = tiny("cls", outputs=5, authors_double_norm=True)  # no pooled path: nothing to double
    assert_close("class token", plain(x), plain.head(plain.features(x)), atol=1e-14)


def test_attention_is_that_of_the_last_block():
    model, x, seen = tiny(), record(), []
    with torch.no_grad():  # every norm another one
        for i, block in enumerate(model.blocks):
            block.norm1.weight += torch.linspace(0.0, 0.5 * (i + 1), 8)
            block.norm1.bias -= 0.1 * i
    model.blocks[-1].attn.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model.features(x)
    got = model.attention(x)
    assert_shape("attention", got, (3, 2, 37, 37))
    assert_close("attention", got, model.blocks[-1].attn.weights(seen[0]), atol=1e-13)


def test_drop_path_rises_linearly_to_the_last_block():
    assert_close("rates", [b.drop_path for b in tiny(drop_path=0.2).blocks], [0.0, 0.1, 0.2])
    for depth, want in ((1, [0.0]), (2, [0.0, 0.2])):
        model = ECGEncoder((1, 12, 60), (1, 20), 8, depth, 2, drop_path=0.2)
        assert_close("rates", [b.drop_path for b in model.blocks], want)


def test_ecg_sizes():
    model = ECGEncoder(*((1, 12, 2500), (1, 100)), *ECG_SIZES["tiny"])
    trained = sum(p.numel() for name, p in model.named_parameters() if name != "pos_embed")
    assert_equal("parameters", trained, 5_363_328)  # 5.36 M
    assert (model.dim, len(model.blocks), model.blocks[0].attn.heads) == (384, 3, 6)
    assert ECG_SIZES == {"tiny": (384, 3, 6)}
    assert_equal("defaults", sum(p.numel() for p in ECGEncoder().parameters()), 5_478_912)
    assert model.pos_embed.requires_grad and model.grid == (12, 25)
    assert_equal("position", model.pos_embed[0], sincos_position_embedding(384, (12, 25)))


def test_interpolated_position_loads_into_another_window():
    short, long = tiny(), ECGEncoder((1, 12, 100), (1, 20), 8, 3, 2).double().eval()
    state = short.state_dict()
    state["pos_embed"] = interpolate_position_embedding(state["pos_embed"], short.grid, 5)
    long.load_state_dict(state)
    x = torch.tensor(np.random.default_rng(0).standard_normal((2, 1, 12, 100)))
    assert_shape("features", long.features(x), (2, 8))


@pytest.mark.parametrize("options, words", [
    ({"pooling": "max"}, "('average', 'attention', 'cls'), got 'max'"),
    ({"drop_path": 1.0}, r"[0, 1), got 1.0"), ({"drop_path": -0.1}, "got -0.1"),
    ({"heads": 7}, "384 is not a multiple of 7"),
    ({"input_size": (1, 12, 2450)}, "12 x 2450 is not a multiple of the patch 1 x 100")])
def test_ecg_encoder_refuses(options, words):
    with pytest.raises(ValueError) as error:
        ECGEncoder(**options)
    assert words in str(error.value)


def resnet(source: str, shapes: dict, seed: int) -> CMREncoder:
    state = portable_weights(shapes, seed, convolutional=True)
    for name in shapes:  # counters of the running statistics: not floating
        state.setdefault(name, np.zeros((), np.int64))
    model = load_authors_weights(
        {"state_dict": {f"encoder_imaging.{name}": value for name, value in state.items()}})
    assert model.arch == "resnet18", source
    return model


def check_resnet(model: CMREncoder, image: torch.Tensor, want: dict, source: str) -> None:
    with torch.no_grad():
        for name, got in (("features_eval", model.features(image)),
                          ("feature_map_eval", model.feature_map(image)),
                          ("features_train", model.train().features(image))):
            assert_parity(f"ResNet-18 {name}", got, want[name], 1e-5, source)


def test_resnet18_portable():
    image = torch.tensor(np.random.default_rng(6).random((2, 3, 64, 64)), dtype=torch.float32)
    model = resnet("portable", state_shapes("cmr_encoder_resnet18"), 5)
    check_resnet(model, image, authors("cmr_encoder_resnet18"), "portable")


def test_resnet18_larger():
    golden = larger_golden("cmr_encoder_resnet18")
    rng = np.random.default_rng(int(golden["seed_input"]))
    image = torch.tensor(rng.random((2, 3, 210, 210)), dtype=torch.float32)
    shapes = state_shapes("cmr_encoder_resnet18")
    assert sorted(shapes) == sorted(map(str, golden["state_names"]))
    model = resnet("larger set", shapes, int(golden["seed_weights"]))
    check_resnet(model, image, golden, "larger set")


def test_resnet50():
    torch.manual_seed(0)
    model = CMREncoder().eval()
    assert_equal("parameters", sum(p.numel() for p in model.parameters()), 23_508_032)
    assert_equal("dim", model.dim, 2048)
    strides = [(m.stride, m.kernel_size) for layer in (model.layer2, model.layer3, model.layer4)
               for m in (layer[0].conv1, layer[0].conv2, layer[0].downsample[0])]
    assert strides == [((1, 1), (1, 1)), ((2, 2), (3, 3)), ((2, 2), (1, 1))] * 3
    assert model.layer1[0].conv2.stride == (1, 1) and model.layer1[0].downsample is not None
    assert model.layer1[1].downsample is None
    with torch.no_grad():
        image = torch.rand(1, 3, 210, 210)
        cells = model.feature_map(image)
        assert_shape("map", cells, (1, 2048, 7, 7))
        assert_close("features", model(image), cells.mean(dim=(2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arch, dim, parameters, size, cells", [
    ("resnet18", 512, 11_176_512, 64, 2), ("resnet10_narrow", 128, 307_536, 48, 3)])
def test_small_resnets(arch, dim, parameters, size, cells):
    model = CMREncoder(arch).eval()
    assert arch in CMR_SIZES
    assert_equal("parameters", sum(p.numel() for p in model.parameters()), parameters)
    assert_shape("map", model.feature_map(torch.rand(1, 3, size, size)), (1, dim, cells, cells))
    assert_equal("dim", model.dim, dim)


def test_convolutions_start_with_the_spread_of_their_fan_out():
    torch.manual_seed(0)
    model = CMREncoder("resnet18")
    for layer, fan_out in ((model.conv1, 64 * 49), (model.layer3[0].conv1, 256 * 9),
                           (model.layer4[0].downsample[0], 512)):
        assert_close("spread", layer.weight.std(), math.sqrt(2 / fan_out), rtol=0.05)


def test_cmr_encoder_refuses():
    with pytest.raises(ValueError, match="got 'resnet34'"):
        CMREncoder("resnet34")
    for shape in ((3, 48, 48), (1, 1, 48, 48)):
        with pytest.raises(ValueError, match=r"\[B, 3, height, width\], got"):
            CMREncoder("resnet10_narrow")(torch.zeros(shape))


def convolution_oracle(layer: nn.Conv2d, x: np.ndarray) -> np.ndarray:
    (outputs, _, k, _), s, p = layer.weight.shape, layer.stride[0], layer.padding[0]
    weight = layer.weight.detach().numpy()
    B, C, h, w = x.shape
    out = np.zeros((B, outputs, (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1))
    for b, o, i, j in np.ndindex(*out.shape):
        for c, u, v in np.ndindex(C, k, k):
            row, column = i * s + u - p, j * s + v - p
            if 0 <= row < h and 0 <= column < w:
                out[b, o, i, j] += weight[o, c, u, v] * x[b, c, row, column]
    return out


def batch_norm_oracle(norm: nn.BatchNorm2d, x: np.ndarray, training: bool) -> np.ndarray:
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        mean = values.mean() if training else float(norm.running_mean[c])
        variance = ((values - mean) ** 2).mean() if training else float(norm.running_var[c])
        scale = norm.weight.detach().numpy()[c] / math.sqrt(variance + 1e-5)
        out[:, c] = (values - mean) * scale + norm.bias.detach().numpy()[c]
    return out


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("block, inputs, width, stride", [
    (BasicBlock, 2, 3, 2), (BasicBlock, 3, 3, 1), (Bottleneck, 3, 2, 2), (Bottleneck, 8, 2, 1)])
def test_residual_block_equals_its_loops(block, inputs, width, stride, training):
    torch.manual_seed(0)
    model = block(inputs, width, stride).double().train(training)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if "bn" in name or "downsample.1" in name:
                value.copy_(0.5 + torch.rand(value.shape))
    x = np.random.default_rng(0).standard_normal((2, inputs, 5, 6))
    norms = [(model.conv1, model.bn1), (model.conv2, model.bn2)]
    norms += [(model.conv3, model.bn3)] if block is Bottleneck else []
    y = x
    for i, (convolution, norm) in enumerate(norms):
        y = np.maximum(y, 0) if i else y
        y = batch_norm_oracle(norm, convolution_oracle(convolution, y), training)
    shortcut = x
    if stride == 2 or inputs != width * block.expansion:
        convolution, norm = model.downsample
        shortcut = batch_norm_oracle(norm, convolution_oracle(convolution, x), training)
    got = model(torch.tensor(x))
    assert_close("block", got, np.maximum(y + shortcut, 0), rtol=1e-10, atol=1e-11)


def test_training_moves_the_running_statistics_and_evaluation_does_not():
    model = CMREncoder("resnet10_narrow")
    before = model.bn1.running_mean.clone()
    model.eval()(torch.rand(2, 3, 48, 48))
    assert_equal("evaluation", model.bn1.running_mean, before)
    model.train()(torch.rand(2, 3, 48, 48))
    assert not torch.equal(model.bn1.running_mean, before)


def test_projection_head_equals_its_loops():
    torch.manual_seed(0)
    head = ProjectionHead(3, 5, 2).double()
    assert sorted(head.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    w1, b1, w2, b2 = (head.state_dict()[k].numpy() for k in ("0.weight", "0.bias", "2.weight",
                                                             "2.bias"))
    x = np.random.default_rng(0).standard_normal((4, 3))
    want = np.zeros((4, 2))
    for n, e in np.ndindex(4, 2):
        hidden = [max(0.0, b1[h] + sum(w1[h, i] * x[n, i] for i in range(3))) for h in range(5)]
        want[n, e] = b2[e] + sum(w2[e, h] * hidden[h] for h in range(5))
    assert_close("head", head(torch.tensor(x)), want, rtol=1e-12, atol=1e-13)
