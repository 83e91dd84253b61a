"""Work of every operation's file against counted operations, and its other forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.harness import counts, networks
from benchmarks.harness.measure import Draw, wide
from reference.encoders import CMREncoder
from tests.support.benchmarking import (
    CPU,
    OPERATIONS,
    counted,
    every_axis,
    nbytes,
    operation,
    parameters,
)
from tests.support.helpers import assert_close, assert_equal


def test_every_operation_has_at_most_ten_named_shapes():
    for name in OPERATIONS:
        module = operation(name)
        assert 1 <= len(module.SHAPES) <= 10 and set(module.CPU_SHAPES) <= set(module.SHAPES), name
        assert "flops" in module.__doc__ and "bytes" in module.__doc__, name


@every_axis
@pytest.mark.parametrize("size", [(2, 3, 5, 4), (1, 2, 7, 8)])
def test_attention_work(size, axis):
    module, draw = operation("attention"), Draw(0, CPU)
    inputs = tuple(draw.normal(*size) for _ in range(3))
    work = module.work(*size, axis)
    assert_equal("flops", counted(module.explicit, inputs, axis, (0, 1, 2)), work.flops)
    y = module.explicit(*inputs)
    moved = nbytes(inputs, y) if axis != "backward" else nbytes(inputs, y, inputs, y)
    assert_equal("bytes", work.bytes, moved)
    B, H, N, _ = size
    assert_equal("exps", work.exps, B * H * N * N)


def test_attention_work_of_half_the_bytes():
    work = operation("attention").work(2, 3, 5, 4, "forward", torch.bfloat16)
    assert_equal("precision", work.precision, "bfloat16")
    assert_equal("bytes", work.bytes, 2 * 4 * 2 * 3 * 5 * 4)


@every_axis
def test_clip_loss_work(axis):
    module, draw, B = operation("clip_loss"), Draw(0, CPU), 7
    inputs = (draw.normal(B, module.D), draw.normal(B, module.D))
    work = module.work(B, axis)
    assert_equal("flops", counted(module.form("ours"), inputs, axis, (0, 1)), work.flops)
    assert_equal("bytes", work.bytes, nbytes(inputs) * (2 if axis == "backward" else 1))
    assert_equal("exps", work.exps, B * B)


def test_resnet_work_backward():
    network, image = CMREncoder("resnet18"), torch.rand(2, 3, 64, 64)
    assert_equal("flops", operation("resnet").work("resnet18", 64, 2, "backward").flops,
                 counted(network, (image,), "backward"))


def test_mdm_step_work():
    module = operation("mdm_step")
    model = networks.autoencoder()
    train = module.step(model, CPU)
    got = counted(train, module.inputs(2, Draw(0, CPU)), "step")
    assert_equal("flops", module.work(2).flops, got)
    assert_close("parameters", module.PARAMETERS, parameters(model), rtol=5e-3)


def test_mmcl_step_work():
    module = operation("mmcl_step")
    model = networks.both_encoders("resnet18")
    train = module.step(model, CPU)
    got = counted(train, module.inputs(64, 2, Draw(0, CPU)), "step")
    assert_equal("flops", module.work("resnet18", 64, 2).flops, got)
    for arch, network in (("resnet18", model), ("resnet50", networks.both_encoders("resnet50"))):
        assert_close("parameters", module.PARAMETERS[arch], parameters(network), rtol=5e-3,
                     call=arch)


class Pointwise(TorchDispatchMode):
    """Counts one operation for each element that a sum or product of tensors writes."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function.overloadpacket in (torch.ops.aten.add, torch.ops.aten.mul):
            self.flops += out.numel()
        return out


def test_jitter_rescale_work():
    module = operation("jitter_rescale")
    inputs = module.inputs(3, Draw(0, CPU))
    with Pointwise() as counter:
        module.jitter_rescale(*inputs)
    assert_equal("flops", module.work(3).flops, counter.flops)


def test_bytes_are_those_of_inputs_and_outputs():
    draw = Draw(0, CPU)
    for name, function in (("jitter_rescale", "jitter_rescale"), ("surrogate", "surrogate")):
        module = operation(name)
        inputs = module.inputs(3, draw)
        moved = nbytes(inputs, getattr(module, function)(*inputs))
        assert_equal("bytes", module.work(3).bytes, moved, name)
    masking = operation("masking")
    noise, tokens = masking.inputs(2, draw)
    *indices, visible = masking.ours(noise, tokens)
    assert_equal("bytes", masking.work(2, "inference").bytes,
                 nbytes(noise, visible, indices, visible), "masking reads the kept rows only")
    assert_equal("bytes", masking.work(2, "backward").bytes, nbytes(visible, indices[0], tokens))
    loss = operation("mse_ncc")
    x, prediction, _ = loss.inputs(2, draw)
    assert_equal("bytes", loss.work(2, "forward").bytes, nbytes(x, prediction))
    assert_equal("bytes", loss.work(2, "backward").bytes, nbytes(x, prediction, prediction))
    view = operation("cmr_view")
    image, uniforms = view.inputs(2, draw)
    assert_equal("bytes", view.work(2).bytes, nbytes(image, view.ours(image, uniforms)))


def test_bytes_of_host_operations():
    draw = Draw(0, CPU)
    auroc = operation("auroc")
    assert_equal("auroc", auroc.work(50).bytes, nbytes(auroc.inputs(50, draw)))
    ridge = operation("ridge")
    inputs = ridge.inputs(80, 6, draw)
    assert_equal("ridge", ridge.work(80, 6).bytes, nbytes(inputs, ridge.ours(*inputs)))
    als = operation("als")
    y = als.signals(2, draw)
    assert_equal("als", als.work(2).bytes, 9 * nbytes(y) * als.ITERATIONS)


@every_axis
@pytest.mark.parametrize("implementation", ["eager", "product"])
def test_patch_embedding_work(axis, implementation):
    module = operation("patch_embedding")
    network, x = module.build(implementation), Draw(0, CPU).normal(2, 1, module.V, module.T)
    work = module.work(2, axis)
    assert_equal("flops", counted(network, (x,), axis), work.flops)
    assert_equal("bytes", work.bytes, nbytes(x, network(x)) + 4 * parameters(network))
    assert_close("product", module.build("product")(x).detach(),
                 module.build("eager")(x).detach(), rtol=1e-4, atol=1e-5)


@every_axis
@pytest.mark.parametrize("name, size, build", [
    ("mlp", (2, 5, 8), lambda m: m.build(8)), ("block", (2, 5, 8, 2), lambda m: m.build(8, 2)),
    ("projection_head", (24, 7), lambda m: m.build(24))])
def test_layer_work(axis, name, size, build):
    module, draw = operation(name), Draw(0, CPU)
    network = build(module)
    z = draw.normal(*(size[:3] if name != "projection_head" else size[::-1]))
    work, y = module.work(*size, axis), network(z)
    assert_equal("flops", counted(network, (z,), axis, (0,)), work.flops)
    if axis == "backward":
        moved = nbytes(z, y, z) + 8 * parameters(network)
    else:
        moved = nbytes(z, y) + 4 * parameters(network)
    assert_equal("bytes", work.bytes, moved)
    half = module.work(*size, axis, "bfloat16")
    assert_equal("half", (half.bytes * 2, half.precision), (work.bytes, "bfloat16"))


def test_block_exponentials():
    assert_equal("exps", operation("block").work(2, 5, 8, 4, "forward").exps, 2 * 4 * 5 * 5)


@every_axis
@pytest.mark.parametrize("masked", [True, False])
def test_encoder_work(axis, masked):
    module = operation("encoder")
    network = module.build(masked)
    inputs = module.inputs(masked, 2, Draw(0, CPU))
    work = module.work(masked, 2, axis)
    assert_equal("flops", counted(network, inputs, axis), work.flops)
    assert_close("parameters", module.PARAMETERS, parameters(network), rtol=3e-2)
    assert_equal("tokens", module.tokens(masked), 60 if masked else 301)
    assert_equal("exps", work.exps, 2 * module.H * module.tokens(masked) ** 2 * module.DEPTH)


@every_axis
def test_decoder_work(axis):
    module = operation("decoder")
    network = module.build()
    inputs = module.inputs(2, Draw(0, CPU))
    assert_equal("flops", counted(network, inputs, axis, (0,)), module.work(2, axis).flops)
    assert_close("parameters", module.PARAMETERS, parameters(network), rtol=1e-2)


@every_axis
@pytest.mark.parametrize("name", ["nt_xent", "soft_positive", "false_negative", "barlow_twins"])
def test_losses_work(axis, name):
    module, B = operation("losses"), 9
    inputs = module.inputs(name, B, Draw(0, CPU))
    work = module.work(name, B, axis)
    assert_equal("flops", counted(module.loss(name), inputs, axis, (0, 1)), work.flops)
    assert_equal("bytes", work.bytes,
                 nbytes(inputs) + (nbytes(inputs[:2]) if axis == "backward" else 0))


def test_losses_agree_with_the_explicit_ones():
    module = operation("losses")
    for name in {name for name, _ in module.SHAPES.values()}:
        inputs = module.inputs(name, 40, Draw(0, CPU))
        got, want = module.loss(name)(*inputs), module.explicit(name)(*wide(inputs))
        assert_close(name, got, want, rtol=1e-5)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_resnet_stages_make_the_whole(arch):
    module, size = operation("resnet_stage"), 75
    flops = [module.work(arch, stage, size, 1, "forward").flops for stage in range(5)]
    assert_equal("sum", sum(flops), counts.resnet(arch, size))
    assert_equal("bytes", sum(module.work(arch, s, size, 2, "backward").bytes for s in range(5)),
                 counts.traffic(counts.convolutions(arch, size), 2, "backward"))


@every_axis
@pytest.mark.parametrize("arch, stage", [("resnet18", 1), ("resnet18", 3), ("resnet50", 1),
                                         ("resnet50", 2), ("resnet50", 0)])
def test_resnet_stage_work(axis, arch, stage):
    module, size = operation("resnet_stage"), 45
    network = module.build(arch, stage)
    x = Draw(0, CPU).normal(*module.input_shape(arch, stage, size, 2))
    assert_equal("flops", counted(network, (x,), axis, (0,)),
                 module.work(arch, stage, size, 2, axis).flops)


class Number:
    """A number that counts what is done with it."""

    done = 0

    def __init__(self, value: float = 1.0):
        self.value = value

    def _next(self, *_) -> Number:
        Number.done += 1
        return Number()

    __add__ = __sub__ = __mul__ = __rmul__ = __truediv__ = __pow__ = _next


def test_optimiser_work(monkeypatch):
    module = operation("optimiser")
    monkeypatch.setattr(Number, "done", 0)
    module.update(Number(), Number(), Number(), Number(), 3)
    assert_equal("flops", module.work(10).flops, 10 * Number.done)
    state = 4 * 4 + 3 * 4  # parameter, gradient, two moments in; all but the gradient out
    assert_equal("bytes", module.work(10).bytes, 10 * state)


@pytest.mark.parametrize("implementation", ["for-loop", "foreach", "fused"])
def test_optimiser_steps_every_parameter_as_written_out(implementation):
    module = operation("optimiser")
    leaves = [nn.Parameter(p.detach().clone()) for p in module.parameters("head")]
    state = [(p.detach().double(), 0.0, 0.0) for p in leaves]
    step = module.stepper(leaves, implementation, CPU)
    for t in (1, 2, 3):
        gradients = module.inputs(leaves, Draw(t, CPU))
        step(*gradients)
        state = [module.update(*s[:1], g.double(), *s[1:], t)
                 for s, g in zip(state, gradients, strict=True)]
    for leaf, (theta, _, _) in zip(leaves, state, strict=True):
        assert_close("parameter", leaf, theta, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["features", "signals"])
def test_probe_epoch_work(kind):
    module, N = operation("probe_epoch"), 3
    layer = nn.Linear(module.D, module.C)
    encoder = nn.Identity() if kind == "features" else networks.ecg_encoder()
    x, y = module.inputs(kind, N, Draw(0, CPU))
    work = module.work(kind, N)
    train = module.epoch(layer, encoder, CPU)
    assert_equal("flops", counted(train, (x, y), "step"), work.flops)
    if kind == "features":
        assert_equal("bytes", work.bytes, nbytes(x, y) + 28 * parameters(layer))
        assert_equal("steps", module.work(kind, 257).bytes - module.work(kind, 256).bytes,
                     nbytes(x, y) / N + 28 * parameters(layer))


def test_probe_epoch_trains():
    module = operation("probe_epoch")
    torch.manual_seed(0)
    layer = nn.Linear(module.D, module.C)
    x, y = module.inputs("features", 64, Draw(0, CPU))
    train = module.epoch(layer, nn.Identity(), CPU)
    losses = [float(train(x, y)) for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0], losses


def test_colour_jitter():
    module = operation("colour_jitter")
    inputs = module.inputs(3, Draw(0, CPU))
    y = module.ours(*inputs)
    assert_close("view", y, module.explicit(*wide(inputs)), atol=1e-5)
    assert_equal("bytes", module.work(3).bytes, nbytes(inputs[0], y))
