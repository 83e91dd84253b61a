"""What is known of the kernels on a card without one: launches, memory, what they compile to.

Memory is counted on tensors that hold nothing, registers are read from code for cards not present.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import weakref

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reference.contrastive_loss import clip_loss
from reference.kernels import fused
from tests.support import ahead
from tests.support.helpers import ROOT

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None,
                                  reason="triton is not installed")
D = 128
# bytes that a program may have on a card of this capability; 8.6 has the least of all
SHARED = {"8.6": 99 * 1024, "9.0": 227 * 1024}
ALLOCATIONS = {"empty", "empty_like", "new_empty", "detach", "view", "alias", "ones_like",
               "_unsafe_view"}


class Allocated(TorchDispatchMode):
    """Bytes alive beyond those of the given tensors, their peak, and the operations that ran."""

    def __init__(self, *given: torch.Tensor):
        super().__init__()
        self._alive = {x.untyped_storage()._cdata for x in given}
        self.now = self.peak = 0
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        self.operations.append(function.overloadpacket.__name__)
        for x in tree_leaves(found):
            if isinstance(x, torch.Tensor) and x.untyped_storage()._cdata not in self._alive:
                storage = x.untyped_storage()
                self._alive.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return found

    def _freed(self, storage: int, size: int) -> None:
        self._alive.discard(storage)
        self.now -= size


class Launches:
    """Stands in for a kernel: notes its name, computes nothing."""

    def __init__(self, name: str, log: list[str]):
        self._name, self._log = name, log

    def __getitem__(self, grid):
        return lambda *args, **options: self._log.append(self._name)


def peak(loss, B: int, dtype: torch.dtype = torch.float32) -> int:
    """Bytes that forward and backward hold at most beyond the embeddings; gradients included."""
    with FakeTensorMode():
        z = [torch.empty(B, D, dtype=dtype).requires_grad_() for _ in range(2)]
        with Allocated(*z) as allocated:
            torch.autograd.grad(loss(*z), z)
        return allocated.peak


@pytest.fixture
def launched(monkeypatch) -> list[str]:
    """Names of the kernels launched, none of which runs."""
    from reference.kernels import triton_clip, triton_reconstruction
    log = []
    for module, names in ((triton_clip, ("_lengths_kernel", "_sums_kernel", "_finish_kernel",
                                          "_gradients_kernel")),
                          (triton_reconstruction, ("_errors_kernel", "_slopes_kernel"))):
        for name in names:
            monkeypatch.setattr(module, name, Launches(name, log))
        monkeypatch.setattr(module, "INTERPRETED", True)  # any device will do
    return log


def test_the_count_of_bytes_sees_logits():
    B = 512
    assert peak(clip_loss, B) >= 2 * 4 * B * B


def test_memory_of_the_chunked_form():
    assert peak(fused.clip_loss_chunked, 32768) < 150e6


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("B, most", [(32768, 150e6), (262144, 1e9)])
def test_memory_of_the_fused_form(B, most, dtype, launched):
    assert 0 < peak(fused.clip_loss_fused, B, dtype) < most


@needs_triton
@pytest.mark.parametrize("B, further", [(256, []), (1024, []), (1025, ["sum"])])
def test_launches_of_the_fused_form(B, further, launched):
    z = [torch.zeros(B, D, requires_grad=True) for _ in range(2)]
    with Allocated() as forward:
        loss = fused.clip_loss_fused(*z)
    assert launched == ["_lengths_kernel", "_sums_kernel", "_finish_kernel"]
    assert [name for name in forward.operations if name not in ALLOCATIONS] == further
    del launched[:]
    with Allocated() as backward:
        torch.autograd.grad(loss, z)
    assert launched == ["_gradients_kernel"]
    assert set(backward.operations) <= ALLOCATIONS


@needs_triton
def test_launches_and_memory_of_the_reconstruction_loss(launched):
    x, y = torch.zeros(4, 1, 12, 2500), torch.zeros(4, 300, 100, requires_grad=True)
    with Allocated(x, y) as forward:
        loss = fused.reconstruction_loss_fused(x, y)
    assert launched == ["_errors_kernel"]
    assert [name for name in forward.operations if name not in ALLOCATIONS] == ["sum"]
    assert forward.peak == 4 * (48 + 48 * 4 + 1)  # a part and four numbers a lead, and the loss
    with Allocated(x, y) as backward:
        torch.autograd.grad(loss, y)
    assert launched == ["_errors_kernel", "_slopes_kernel"]
    assert set(backward.operations) <= ALLOCATIONS


@ahead.program
def compilation() -> list[dict]:
    """What tests.support.compile_kernels prints for two generations of cards, side by side."""
    running = [subprocess.Popen([sys.executable, "-m", "tests.support.compile_kernels", capability],
                                cwd=ROOT, stdout=subprocess.PIPE, text=True)
               for capability in SHARED]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(SHARED)
    return [json.loads(line) for text in printed for line in text.splitlines()]


@pytest.fixture
def compiled() -> list[dict]:
    return compilation()


@needs_triton
def test_every_kernel_fits_every_card(compiled):
    assert {row["kernel"] for row in compiled} == {
        "_lengths_kernel", "_sums_kernel", "_finish_kernel", "_gradients_kernel", "_errors_kernel",
        "_slopes_kernel", "_rows_kernel"}
    assert not [row for row in compiled if row["shared"] > SHARED[row["capability"]]]


@needs_triton
def test_registers_suffice_at_the_width_of_the_method(compiled):
    rows = [row for row in compiled if row.get("D", D) == D]
    assert len(rows) == 2 * (2 * 7 + 7)
    assert not [row for row in rows if row["spilled"] > 64]
    assert all(row["spilled"] == 0 for row in rows
               if row["kernel"] in ("_rows_kernel", "_errors_kernel", "_slopes_kernel"))


@needs_triton
def test_products_run_on_tensor_cores(compiled):
    products = [row for row in compiled if row["kernel"] in ("_sums_kernel", "_gradients_kernel")]
    assert products and all(row["tensor cores"] for row in products)
    assert {row["precision"] for row in products if row["dtype"] == "fp16"} == {"tf32"}
    assert {row["precision"] for row in products if row["dtype"] == "fp32"} == {"tf32x3"}
    hopper = [row for row in products if row["capability"] == "9.0" and row["dtype"] == "bf16"
              and row["B"] >= 8192 and row["D"] == D]
    assert len(hopper) == 4 and all(row["tensor cores"] == ["wgmma.mma_async"] for row in hopper)


@needs_triton
def test_the_card_computes_what_the_interpreter_does_not(compiled):
    for row in compiled:
        if row["kernel"] == "_rows_kernel":  # a reciprocal, correctly rounded, and no division
            assert row["instructions"] == ["rcp.rn.f64"]
        elif row["kernel"] in ("_sums_kernel", "_gradients_kernel"):
            assert "ex2.approx.ftz.f32" in row["instructions"]
