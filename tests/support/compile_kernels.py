"""Compile the Triton kernels for cards that are not there, and say what each needs.

    python -m tests.support.compile_kernels [8.6 9.0 ...]

No card, driver or CUDA toolkit is needed: Triton brings its own assembler. Prints one JSON object
a line: kernel, compute capability, dtype, precision, B, D, tiles; bytes of shared memory of a
program, registers and bytes of spilled registers of a thread, and the tensor-core instructions.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.pop("TRITON_INTERPRET", None)  # read when triton is imported

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from reference.kernels import triton_baseline as baseline
from reference.kernels import triton_clip as clip
from reference.kernels import triton_reconstruction as reconstruction

CAPABILITIES = ("8.6", "9.0")
TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
EMBEDDINGS = ("cmr", "ecg", "by_cmr", "by_ecg")
INTEGERS = ("B", "D", "T", "N", "turns", "programs", "count", "iterations")
FLOATS = ("sharpness", "weight", "scale")
BATCHES = {torch.bfloat16: (256, 2048, 8192, 32768), torch.float32: (256, 32768),
           torch.float16: (32768,)}  # one for each choice of tiles
TENSOR_CORES = r"wgmma\.mma_async|mma\.sync|tcgen05\.mma"


def main(capabilities: list[str]) -> None:
    """Compile everything for each capability."""
    for capability in capabilities:
        for kernel, types, constants, labels in cases():
            print(json.dumps({"kernel": kernel.__name__, "capability": capability, **labels,
                              **needs(kernel, types, constants, capability)}), flush=True)


def cases() -> Iterator[tuple]:
    """Kernel, types of its pointers, its constants, and what to call it."""
    for dtype, batches in BATCHES.items():
        for B, D in [(B, 128) for B in batches] + [(32768, 512)]:
            plan = clip.plan(torch.empty(1, 1, dtype=dtype).expand(B, D), 0.1, 0.75, "tf32x3")
            labels = {"dtype": TYPES[dtype], "precision": plan.options["PRECISION"], "B": B, "D": D,
                      "tiles": clip.tiles(B, D, dtype)}
            types = dict.fromkeys(EMBEDDINGS, TYPES[dtype])
            yield clip._sums_kernel, types, plan.options, labels
            yield clip._gradients_kernel, types, plan.options, labels
    for name in ("fp32", "bf16"):
        for kernel in (reconstruction._errors_kernel, reconstruction._slopes_kernel):
            yield (kernel, {"y": name, "by": name}, {"SAMPLES": reconstruction.SAMPLES},
                   {"dtype": name})
    types = dict.fromkeys(EMBEDDINGS, "fp32")
    yield clip._lengths_kernel, types, {"ROWS": 16, "WIDTH": 128}, {}
    yield clip._finish_kernel, {}, {"COLUMNS": clip.FINISH, "TOGETHER": clip.TOGETHER,
                                     "num_warps": 8}, {}
    yield (baseline._rows_kernel, {**dict.fromkeys(("y", "x", "s", "q", "numbers"), "fp64"),
                                  "ties": "i32"},
           {"LANES": baseline.LANES, "AHEAD": baseline.AHEAD, "num_warps": 1}, {})


def needs(kernel, types: dict[str, str], constants: dict, capability: str) -> dict:
    """Compile one kernel and read what the assembler says of it."""
    signature, even = {}, {}
    for index, name in enumerate(kernel.arg_names):
        signature[name] = ("constexpr" if name in constants else "i32" if name in INTEGERS else
                           "fp32" if name in FLOATS else "*" + types.get(name, "fp32"))
        if signature[name].startswith("*") or name == "D":
            even[(index,)] = [["tt.divisibility", 16]]  # as at a launch with aligned tensors
    options = {**{k: v for k, v in constants.items() if k in ("num_warps", "num_stages")},
               **clip.FMA}
    constants = {k: v for k, v in constants.items() if k not in options}
    target = GPUTarget("cuda", int(capability.replace(".", "")), 32)
    done = triton.compile(ASTSource(kernel, signature, constants, even), target, options)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(done.asm["cubin"])
        said = subprocess.run([TOOL, "-res-usage", file], capture_output=True, text=True,
                              check=True).stdout
    registers, spilled = map(int, re.search(r"REG:(\d+) STACK:(\d+)", said).groups())
    return {"shared": done.metadata.shared, "registers": registers, "spilled": spilled,
            "tensor cores": sorted(set(re.findall(TENSOR_CORES, done.asm["ptx"]))),
            "instructions": sorted(set(re.findall(r"\b(?:ex2|rcp|div|sqrt)\.[\w.]+",
                                                  done.asm["ptx"])))}


if __name__ == "__main__":
    main(sys.argv[1:] or list(CAPABILITIES))
