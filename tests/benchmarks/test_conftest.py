"""The suite as pytest runs it: its rows, what it skips, and what it wrote."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.harness import tables
from tests.support import ahead
from tests.support.benchmarking import suite
from tests.support.helpers import ROOT, assert_close, assert_equal

# Places of a row where memory can run out: the network, the inputs, what is expected, the call.
ROWS = '''
import numpy as np, pytest, torch
from benchmarks.harness.roofline import Work

WORK = Work(1, 8)
PLACES = ("network", "inputs", "expected", "call", "no", "wrong", "broken")

def on_the_cpu():
    return torch.empty(2**50)

def on_the_host():
    return np.empty(2**50)

def on_a_card():
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0")

def in_a_library():
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

class OutOfResources(Exception):
    pass

def in_a_kernel():
    raise OutOfResources("out of resource: shared memory, Required: 131072, Hardware limit: 65536.")

def without_a_word():
    raise MemoryError

def broken():
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fail", (on_the_cpu, on_the_host, on_a_card, in_a_library, in_a_kernel,
                                  without_a_word))
def test_row(measure, fail, place):
    if place == "network":
        fail()
    def at(where, value):
        return fail() if where == place else value
    def call(x):
        return broken() if place == "broken" else at("call", x + (place == "wrong"))
    measure(call, lambda draw: at("inputs", (draw.normal(3),)), WORK,
            lambda x: at("expected", x), 1e-6)
'''
SAID = {"on_the_cpu": "out of memory: .*can't allocate memory",
        "on_the_host": "out of memory: Unable to allocate",
        "on_a_card": "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0",
        "in_a_library": "out of memory: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when",
        "in_a_kernel": "out of memory: out of resource: shared memory, Required: 131072",
        "without_a_word": "out of memory: MemoryError"}


@ahead.program
def outcomes() -> dict[str, str]:
    """Outcome of each of the rows above: name -> the line that pytest prints."""
    path = ahead.folder("rows") / "test_rows.py"
    path.write_text(ROWS)
    done = suite("-p", "benchmarks.conftest", "-vv", "--tb=no", "-rN", "--bench-device", "cpu",
                 str(path), COLUMNS="400")
    found = {}
    for line in done.stdout.splitlines():
        if match := re.search(r"test_row\[(.*?)\] (PASSED|FAILED|SKIPPED|ERROR)(.*)", line):
            found[match[1]] = match[2] + match[3]
    assert_equal("rows", len(found), 42, done.stdout + done.stderr)
    return found


@pytest.fixture
def lines() -> dict[str, str]:
    return outcomes()


@pytest.mark.parametrize("fail", SAID)
def test_lack_of_memory_is_skipped_with_its_message(lines, fail):
    ours = {name: line for name, line in lines.items() if fail in name}
    for place in ("network", "inputs", "expected", "call"):
        (line,) = (line for name, line in ours.items() if place in name)
        assert re.match(r"SKIPPED \(" + SAID[fail], line), (place, line)


@pytest.mark.parametrize("place, outcome", [("no", "PASSED"), ("wrong", "FAILED"),
                                            ("broken", "FAILED")])
def test_anything_else_is_not_skipped(lines, place, outcome):
    got = [line.split()[0] for name, line in lines.items() if place in name.split("-")]
    assert_equal("outcomes", got, [outcome] * 6)


KEEPS = '''
import gc, weakref, pytest
from benchmarks.harness.roofline import Work

class Large:
    pass

gc.disable()
seen = []

@pytest.mark.parametrize("error", (MemoryError, None, MemoryError, None))
def test_row(measure, error):
    assert not any(large() for large in seen), "an earlier row's memory is still held"
    large = Large()
    seen.append(weakref.ref(large))
    def call(x, large=large):
        if error:
            raise error
        return x + 1
    measure(call, lambda draw: (draw.normal(3),), Work(1, 8), lambda x: x + 1, 1e-6)
'''


@pytest.mark.parametrize("options", [(), ("--time-cpu", "--rounds", "2")], ids=["check", "time"])
def test_a_row_finds_nothing_of_those_before_it(tmp_path, options):
    (tmp_path / "test_rows.py").write_text(KEEPS)
    done = suite("-p", "benchmarks.conftest", "--bench-device", "cpu", *options,
                 str(tmp_path / "test_rows.py"))
    assert "2 passed, 2 skipped" in done.stdout, done.stdout + done.stderr


@ahead.program
def one_operation() -> tuple[subprocess.CompletedProcess, Path]:
    """One operation timed, and the file it wrote."""
    out = ahead.folder("one_operation") / "out.json"
    return suite("benchmarks", "-k", "jitter_rescale and B8", "--bench-device", "cpu", "--rounds",
                 "5", f"--benchmark-json={out}"), out


def test_suite_collects_and_one_operation_runs():
    done, out = one_operation()
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


def rows_of_a_card(*arguments: str) -> list[tuple]:
    """Names of the rows that the suite would run on a CUDA card."""
    done = suite("benchmarks", "--collect-only", "-p", "tests.support.as_cuda", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("rows of a card: ")]
    return [tuple(row) for row in json.loads(line.partition(": ")[2])]


@ahead.program
def every_row() -> list[tuple]:
    """All rows of a card."""
    return rows_of_a_card()


@ahead.program
def paper_rows() -> list[tuple]:
    """Those of the paper's shapes."""
    return rows_of_a_card("--paper")


@pytest.fixture
def card() -> list[tuple]:
    return every_row()


def test_every_row_of_a_card_has_its_own_name(card):
    twice = [row for row, times in Counter(card).items() if times > 1]
    assert not twice


def test_a_card_is_timed_in_both_modes(card):
    modes = {}
    for operation, _, _, _, mode in card:
        modes.setdefault(operation, set()).add(mode)
    for operation, found in modes.items():
        assert "stream" in found or found == {"host"}, operation
    without = {name for name, found in modes.items() if "graph" not in found}
    assert without == {"auroc", "cmr_view", "colour_jitter", "ridge"}


def test_the_papers_shapes_are_a_part_of_the_rows(card):
    paper = paper_rows()
    assert set(paper) < set(card) and len(paper) < len(card) / 2
    assert {row[0] for row in paper} == {row[0] for row in card}
    for target in (("clip_loss", "fused bf16", "B256"), ("clip_loss", "fused bf16", "B32768"),
                   ("clip_loss", "chunked", "B262144"), ("mse_ncc", "fused", "B128"),
                   ("als", "fused", "records4096"), ("mdm_step", "bfloat16-compiled", "B128"),
                   ("resnet", "nhwc-bfloat16", "resnet50-B256")):
        assert target in {row[:3] for row in paper}, target


@ahead.program
def variants() -> list[str]:
    """Rows of one operation on the CPU, all variants and the usual ones."""
    words = ("benchmarks", "--collect-only", "-k", "patch_embedding and B4", "--bench-device",
             "cpu")
    return [suite(*words, *more).stdout for more in (("--all-variants",), ())]


def test_a_cpu_runs_the_variants_of_a_card_when_asked():
    asked, usual = variants()
    assert "compiled" in asked and "compiled" not in usual


@ahead.program
def by_name() -> tuple[subprocess.CompletedProcess, Path]:
    """The suite by its name from an empty directory, and the file it wrote."""
    empty = ahead.folder("by_name")
    return suite("--pyargs", "benchmarks", "-k", "jitter_rescale and B8",
                 "--benchmark-json=o.json", at=empty, PYTHONPATH=str(ROOT)), empty / "o.json"


def test_suite_is_found_by_its_name_from_an_empty_directory():
    done, out = by_name()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| jitter_rescale | B8 " in done.stdout and "Outliers" not in done.stdout, (
        "our table, and not pytest-benchmark's")
    assert len(tables.read(out).rows) == 1
