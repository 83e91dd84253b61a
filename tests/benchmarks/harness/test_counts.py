"""FLOP and byte counts of network, loss and optimiser benchmarks, against counted operations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.harness import counts, variants
from benchmarks.harness import measure as rows
from benchmarks.harness.measure import Draw
from tests.benchmarks.harness.test_measure import CPU, counted, nbytes, operation
from tests.support.helpers import assert_close, assert_equal

AXES = ("inference", "forward", "backward")


def parameters(network: nn.Module) -> int:
    """Number of parameters that gradients are taken of."""
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("implementation", ["eager", "product"])
def test_patch_embedding_work(axis, implementation):
    module = operation("patch_embedding")
    network, x = module.build(implementation), Draw(0, CPU).normal(2, 1, module.V, module.T)
    work = module.work(2, axis)
    assert_equal("flops", counted(network, (x,), axis), work.flops)
    assert_equal("bytes", work.bytes, nbytes(x, network(x)) + 4 * parameters(network))
    assert_close("product", module.build("product")(x).detach(),
                 module.build("eager")(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", AXES)
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


@pytest.mark.parametrize("axis", AXES)
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


@pytest.mark.parametrize("axis", AXES)
def test_decoder_work(axis):
    module = operation("decoder")
    network = module.build()
    inputs = module.inputs(2, Draw(0, CPU))
    assert_equal("flops", counted(network, inputs, axis, (0,)), module.work(2, axis).flops)
    assert_close("parameters", module.PARAMETERS, parameters(network), rtol=1e-2)


@pytest.mark.parametrize("axis", AXES)
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
        got, want = module.loss(name)(*inputs), module.explicit(name)(*rows.wide(inputs))
        assert_close(name, got, want, rtol=1e-5)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_resnet_stages_make_the_whole(arch):
    module, size = operation("resnet_stage"), 75
    flops = [module.work(arch, stage, size, 1, "forward").flops for stage in range(5)]
    assert_equal("sum", sum(flops), counts.resnet(arch, size))
    assert_equal("bytes", sum(module.work(arch, s, size, 2, "backward").bytes for s in range(5)),
                 counts.resnet_bytes(arch, size, 2, "backward"))


@pytest.mark.parametrize("axis", AXES)
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
        state = [module.update(*s[:1], g.double(), *s[1:], t) for s, g in zip(state, gradients)]
    for leaf, (theta, _, _) in zip(leaves, state):
        assert_close("parameter", leaf, theta, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["features", "signals"])
def test_probe_epoch_work(kind):
    module, N = operation("probe_epoch"), 3
    layer = nn.Linear(module.D, module.C)
    encoder = nn.Identity() if kind == "features" else module.build(masked=False)
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
    assert_close("view", y, module.explicit(*rows.wide(inputs)), atol=1e-5)
    assert_equal("bytes", module.work(3).bytes, nbytes(inputs[0], y))


def test_variants():
    assert_equal("precision", [variants.precision(n) for n in
                               ("nhwc-bfloat16-compiled", "eager", "nchw-float32", "float16")],
                 ["bfloat16", "float32", "float32", "float16"])
    assert_equal("otherwise", variants.precision("nchw-float32", "tf32"), "tf32")
    assert_equal("bytes", [variants.itemsize(n) for n in ("float16", "tf32")], [2, 4])
    network = nn.Conv2d(3, 4, 3)
    got = variants.variant(network, "nhwc-bfloat16")
    assert_equal("parameters", [p is q for p, q in zip(got.parameters(), network.parameters())],
                 [True, True])
    x = torch.rand(1, 3, 5, 5)
    assert got(x).dtype == torch.bfloat16 and network.weight.is_contiguous(
        memory_format=torch.channels_last)
    assert variants.layout("nhwc") is torch.channels_last
    assert variants.layout("eager") is torch.contiguous_format
    with pytest.raises(ValueError, match="unknown words"):
        variants.variant(network, "float8")


def test_only_a_missing_compiler_is_skipped():
    error = RuntimeError("InvalidCxxCompiler: No working C++ compiler found in x")
    assert variants.not_compiled(error)
    assert variants.not_compiled(RuntimeError("Cannot find a working triton installation. Either"))
    assert not variants.not_compiled(RuntimeError("backend='inductor' raised: AssertionError"))
    assert not variants.not_compiled(AssertionError("No working C++ compiler found"))
