"""The benchmark suite itself: counts against counted operations, clocks, roofline, rows."""

from __future__ import annotations

import copy
import importlib
import json
import math
import os
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import counts, tables
from benchmarks.harness import measure as rows
from benchmarks.harness.alternatives import alternative
from benchmarks.harness.measure import Case, Draw, Measure
from benchmarks.harness.roofline import Work, available_precisions, calibrate, floor, probes
from reference.baseline import asymmetric_least_squares
from reference.encoders import CMREncoder
from reference.masked_modelling import MaskedAutoencoder
from tests.support.helpers import ROOT, assert_close, assert_equal

CPU = torch.device("cpu")
OPERATIONS = ("als", "attention", "auroc", "block", "clip_loss", "cmr_view", "colour_jitter",
              "decoder", "encoder", "jitter_rescale", "losses", "masking", "mdm_step", "mlp",
              "mmcl_step", "mse_ncc", "optimiser", "patch_embedding", "probe_epoch",
              "projection_head", "resnet", "resnet_stage", "ridge", "surrogate")


def operation(name: str) -> ModuleType:
    """The benchmark module of an operation."""
    return importlib.import_module(f"benchmarks.test_{name}")


def counted(function, inputs: tuple, axis: str, differentiable: tuple = ()) -> int:
    """FLOP that torch counts in one body; attention is written out, or it would not be counted."""
    case = Case(function, None, None, function, 0.0, axis, differentiable)
    with sdpa_kernel(SDPBackend.MATH):
        if axis == "backward":
            body = rows.bind(function, inputs, case)  # its forward pass is not the body's
        with FlopCounterMode(display=False) as counter:
            (body if axis == "backward" else lambda: function(*inputs))()
    return counter.get_total_flops()


def nbytes(*tensors) -> int:
    """Bytes of all of them."""
    return sum(x.nbytes for x in rows.tensors(tensors))


# ---- counts ----

@pytest.mark.parametrize("axis", ["inference", "forward", "backward"])
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


@pytest.mark.parametrize("axis", ["inference", "forward", "backward"])
def test_clip_loss_work(axis):
    module, draw, B = operation("clip_loss"), Draw(0, CPU), 7
    inputs = (draw.normal(B, module.D), draw.normal(B, module.D))
    work = module.work(B, axis)
    assert_equal("flops", counted(module.form("ours"), inputs, axis, (0, 1)), work.flops)
    assert_equal("bytes", work.bytes, nbytes(inputs) * (2 if axis == "backward" else 1))
    assert_equal("exps", work.exps, B * B)


@pytest.mark.parametrize("arch, size", [("resnet18", 78), ("resnet18", 75), ("resnet50", 97),
                                        ("resnet10_narrow", 33)])
def test_resnet_work(arch, size):
    network = CMREncoder(arch).eval()
    image = torch.rand(2, 3, size, size)
    assert_equal("flops", 2 * counts.resnet(arch, size), counted(network, (image,), "forward"))
    seen = []
    hooks = [part.register_forward_hook(
        lambda part, given, out: seen.append((given[0].numel(), out.numel(), part.weight.numel())))
        for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
    network(image)
    for hook in hooks:
        hook.remove()
    read, written, weights = (sum(column) for column in zip(*seen))
    assert_equal("bytes", counts.resnet_bytes(arch, size, 2, "forward"),
                 4 * (read + written + weights))
    assert_equal("backward bytes", counts.resnet_bytes(arch, size, 2, "backward", 2),
                 2 * (2 * read + written + 2 * weights))


def test_resnet_work_backward():
    network, image = CMREncoder("resnet18"), torch.rand(2, 3, 64, 64)
    assert_equal("flops", operation("resnet").work("resnet18", 64, 2, "backward").flops,
                 counted(network, (image,), "backward"))


def test_mdm_step_work():
    module = operation("mdm_step")
    model = _autoencoder(module)
    train = module.step(model, CPU)
    got = counted(train, module.inputs(2, Draw(0, CPU)), "step")
    assert_equal("flops", module.work(2).flops, got)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert_close("parameters", module.PARAMETERS, parameters, rtol=5e-3)


def test_mmcl_step_work():
    module = operation("mmcl_step")
    model = module.build("resnet18")
    train = module.step(model, CPU)
    got = counted(train, module.inputs(64, 2, Draw(0, CPU)), "step")
    assert_equal("flops", module.work("resnet18", 64, 2).flops, got)
    for arch, network in (("resnet18", model), ("resnet50", module.build("resnet50"))):
        parameters = sum(p.numel() for p in network.parameters())
        assert_close("parameters", module.PARAMETERS[arch], parameters, rtol=5e-3, call=arch)


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


# ---- roofline ----

CEILINGS = {"copy": 100.0, "float32": 1000.0, "exp": 10.0, "launch host": 0.5}


@pytest.mark.parametrize("work, seconds, bound", [
    (Work(0, 400), 4.0, "memory"), (Work(3000, 100), 3.0, "arithmetic"),
    (Work(1000, 100, exps=20), 2.0, "exp"), (Work(1, 1), 0.5, "launch")])
def test_floor(work, seconds, bound):
    got = floor(work, CEILINGS, "host")
    assert_close("seconds", got.seconds, seconds, rtol=1e-12)
    assert_equal("bound", got.bound, bound)


def test_floor_without_a_ceiling():
    with pytest.raises(ValueError, match="no ceiling for float64"):
        floor(Work(1, 1, precision="float64"), CEILINGS, "host")


def test_probes_compute_what_they_claim(monkeypatch):
    monkeypatch.setattr("benchmarks.roofline.SIZES_CPU", (64, 12, 32))
    found = probes(CPU)
    assert_equal("names", " ".join(found), "copy float32 bfloat16 float64 exp launch")
    assert_equal("precisions", " ".join(available_precisions(CPU)), "float32 bfloat16 float64")
    for name, probe in found.items():
        inputs = probe.inputs(torch.Generator().manual_seed(0))
        got, want = probe.function(*copy.deepcopy(inputs)), probe.expected(*rows.wide(inputs))
        error = rows.relative_error([got], [want])
        assert error <= probe.tolerance, (name, error)
    assert_equal("copy", found["copy"].work.bytes, 2 * 64 * 4)
    assert_equal("product", found["float64"].work.flops, 2 * 12**3)


def test_calibrate_finds_positive_rates(monkeypatch):
    monkeypatch.setattr("benchmarks.roofline.SIZES_CPU", (2**16, 64, 2**12))
    ceilings = calibrate(CPU, rounds=3)
    assert set(ceilings) == {"copy", "float32", "bfloat16", "float64", "exp", "launch host"}
    assert 0 < ceilings.pop("launch host") < 0.1
    assert all(1e5 < rate < math.inf for rate in ceilings.values()), ceilings


# ---- one row ----

def run(function, *, expected=None, axis="inference", tolerance=1e-6, leaves=(0,)) -> dict:
    """One checked, untimed row of a function of x [3, 4]."""
    case = Case(function, lambda draw: (draw.normal(3, 4),), Work(1, 1), expected or function,
                tolerance, axis, leaves)
    labels = {"operation": "f", "implementation": "ours", "shape": "s"}
    return Measure(CPU, time=False).run(case, labels, CPU, "host", lambda: None)


def test_run_checks_each_axis():
    for axis in ("inference", "forward", "backward"):
        assert run(torch.sin, axis=axis)["error"] <= 1e-6
        with pytest.raises(AssertionError, match="relative error"):
            run(torch.sin, expected=torch.cos, axis=axis)
    with pytest.raises(AssertionError, match="relative error=nan"):
        run(lambda x: x * math.nan, expected=lambda x: x)
    with pytest.raises(AssertionError, match="shapes"):
        run(lambda x: x[:2], expected=lambda x: x)


def test_run_sees_a_wrong_gradient_of_a_right_value():
    wrong = lambda x: x.detach() ** 2 + 0 * x  # noqa: E731
    assert run(wrong, expected=torch.square, axis="forward")["error"] <= 1e-6
    with pytest.raises(AssertionError, match=r"\[backward\]"):
        run(wrong, expected=torch.square, axis="backward")


def test_run_takes_two_steps():
    def counter():
        state = {"calls": 0}

        def step(x):
            state["calls"] += 1
            return x * state["calls"]

        return step

    assert run(counter(), expected=counter(), axis="step")["error"] <= 1e-6
    with pytest.raises(AssertionError, match=r"\[step\]"):
        run(counter(), expected=lambda x: x, axis="step")


def test_ceilings_are_measured_before_the_row_holds_memory(monkeypatch):
    order = []
    monkeypatch.setattr(rows, "calibrate", lambda device, seed: order.append("calibrate") or {})
    suite = Measure(CPU)
    monkeypatch.setattr(suite, "_time", lambda *_: order.append("time"))
    case = Case(torch.sin, lambda draw: order.append("inputs") or (draw.normal(3),), Work(1, 1),
                torch.sin, 1e-6)
    labels = {"operation": "f", "implementation": "ours", "shape": "s"}
    for _ in range(2):
        suite.run(case, labels, CPU, "host", lambda: None)
    assert_equal("order", " ".join(order), "calibrate inputs inputs time inputs inputs time")


def test_check_replay_poisons_outputs():
    output = torch.ones(3)
    case = Case(None, None, None, None, 1e-6)
    rows._check_replay(lambda: output.fill_(1.0), [[torch.ones(3)]], case)
    with pytest.raises(AssertionError, match="relative error=nan"):
        rows._check_replay(lambda: output, [[torch.ones(3)]], case)


def test_inputs_are_seeded_and_never_zero():
    a, b, other = (Draw(seed, CPU).normal(50) for seed in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, other) and bool((a != 0).all())


def test_statistics():
    data = [float(x) for x in range(1, 102)]
    got = rows.statistics(reversed(data))
    assert_close("percentiles", [got["p20"], got["p50"], got["p80"]], [21, 51, 81])
    alone = rows.statistics([2.0])
    assert_equal("one round", set(alone.values()), {2.0})


def test_out_of_memory_is_told_from_other_errors():
    assert rows.out_of_memory(MemoryError())
    assert rows.out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not rows.out_of_memory(RuntimeError("size mismatch"))
    assert not rows.out_of_memory(KeyError("out of memory"))
    assert not rows.out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED"))
    assert not rows.out_of_memory(type("OutOfResources", (Exception,), {})("registers"))


def test_scipy_baseline_is_ours():
    pytest.importorskip("scipy")
    y = np.random.default_rng(0).normal(size=(2, 60)).cumsum(axis=1)
    assert_close("z", alternative("scipy")(y, 1e3, 0.3, 5),
                 asymmetric_least_squares(y, 1e3, 0.3, 5), rtol=1e-8, atol=1e-8)


# ---- the whole suite ----

def test_every_operation_has_at_most_ten_named_shapes():
    for name in OPERATIONS:
        module = operation(name)
        assert 1 <= len(module.SHAPES) <= 10 and set(module.CPU_SHAPES) <= set(module.SHAPES), name
        assert "flops" in module.__doc__ and "bytes" in module.__doc__, name


def test_suite_collects_and_one_operation_runs(tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "pytest", "benchmarks", "-q", "-p", "no:cacheprovider",
               "-k", "jitter_rescale and B8", "--bench-device", "cpu", "--rounds", "5",
               f"--benchmark-json={out}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jitter_rescale" in done.stdout and "timed on the CPU" in done.stdout
    content = json.loads(out.read_text())
    (entry,) = content["benchmarks"]
    assert "data" not in entry["stats"] and "node" not in content["machine_info"]
    info = entry["extra_info"]
    assert info["rounds"] == 5 and info["p20"] <= info["p50"] <= info["p80"], info
    assert_close("GB/s", info["gb_per_s"] * entry["stats"]["median"], info["bytes"] / 1e9,
                 rtol=1e-6)
    assert_close("% of the roofline", info["pct_roofline"], 100 * info["floor"] / info["p50"],
                 rtol=1e-9)
    assert {"flops", "bytes", "bound", "peak_mem_bytes", "device", "seed", "torch"} <= set(info)
    assert len(tables.read(out).rows) == 1


def _autoencoder(module):
    names = ("dim", "depth", "heads", "decoder_dim", "decoder_depth", "decoder_heads")
    return MaskedAutoencoder(**dict(zip(names, module.SIZE)))
