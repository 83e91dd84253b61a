"""Options, parameters and the `measure` fixture; what one row does is in harness/measure.py.

A benchmark module names its SHAPES (dict), CPU_SHAPES (those small enough for a CPU) and PAPER
(those of the paper and of the targets), and where it has them IMPLEMENTATIONS (CPU_IMPLEMENTATIONS)
and AXES; its tests take `shape`, `implementation` and `axis` as arguments. A test's own parametrize
marks come first.

`pytest --pyargs benchmarks` outside a checkout takes every default, since pytest reads the command
line before it finds this file; the suite's own options need its folder by path.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks.harness import timing
from benchmarks.harness.machine import device_name, facts
from benchmarks.harness.measure import Case, Measure, out_of_memory, release
from benchmarks.harness.tables import report
from benchmarks.harness.variants import not_compiled

MEASURE = pytest.StashKey[Measure]()


def pytest_addoption(parser):
    """The suite's own options."""
    group = parser.getgroup("benchmarks of the method")
    group.addoption("--time-cpu", action="store_true", help="without an accelerator, time on the "
                    "CPU with the host's clock (also switched on by --benchmark-json)")
    group.addoption("--only-check", action="store_true", help="check every body once, time nothing")
    group.addoption("--only-time", action="store_true", help="time without the check")
    group.addoption("--all-shapes", action="store_true", help="on a CPU, the large shapes too")
    group.addoption("--paper", action="store_true", help="the paper's shapes only, no sweep: about "
                    "a third of the rows")
    group.addoption("--all-variants", action="store_true", help="on a CPU, the variants too that "
                    "are meant for accelerators (compiled, narrow)")
    group.addoption("--bench-device", metavar="DEVICE", help="torch device, default: the first "
                    "accelerator, else cpu")
    group.addoption("--rounds", type=int, default=0, help="timed rounds a row, default: what fits "
                    "--row-seconds, 5 to 200")
    group.addoption("--row-seconds", type=float, default=0.5, help="timed seconds a row, about")
    group.addoption("--bench-seed", type=int, default=0, help="seed of all inputs")


def pytest_configure(config):
    """Our table instead of pytest-benchmark's (which --benchmark-verbose brings)."""
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("benchmarks need pytest-benchmark: pip install pytest-benchmark")
    config.option.benchmark_quiet = True
    config.option.benchmark_disable_gc = True
    session = getattr(config, "_benchmarksession", None)
    if session:  # it read these already: --pyargs finds an installed suite only while collecting
        session.quiet, session.options["disable_gc"] = not session.verbose, True
    if config.option.rounds < 0 or not config.option.row_seconds > 0:
        raise pytest.UsageError(f"--rounds {config.option.rounds}, --row-seconds "
                                f"{config.option.row_seconds}; >= 0 and > 0 are needed")
    device = _device(config)
    if device.index:  # events and streams are those of the current device
        getattr(torch, device.type).set_device(device)
    asked = device.type != "cpu" or config.option.time_cpu or bool(config.option.benchmark_json)
    asked = asked and not config.option.only_check and not config.option.benchmark_disable
    config.stash[MEASURE] = Measure(
        device, check=not config.option.only_time, time=asked, seconds=config.option.row_seconds,
        rounds=config.option.rounds, seed=config.option.bench_seed)


def pytest_generate_tests(metafunc):
    """Parameters: shape, implementation, axis from the module, mode from the device."""
    names, module = metafunc.fixturenames, metafunc.module
    device = metafunc.config.stash[MEASURE].device
    modes = ("host",) if hasattr(metafunc.function, "host") else timing.modes(device)
    if hasattr(metafunc.function, "no_graph"):
        modes = tuple(m for m in modes if m != "graph")
    cpu_only = (device.type == "cpu" and hasattr(module, "CPU_IMPLEMENTATIONS")
                and not metafunc.config.option.all_variants)
    values = {"shape": lambda: tuple(module.SHAPES),
              "implementation": lambda: (module.CPU_IMPLEMENTATIONS if cpu_only
                                         else module.IMPLEMENTATIONS),
              "axis": lambda: module.AXES, "mode": lambda: modes}
    given = {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    for name, choose in values.items():
        if name in names and name not in given:
            metafunc.parametrize(name, choose())


def pytest_collection_modifyitems(config, items):
    """Drop the shapes that are not wanted: large ones on a CPU, with --paper those of the sweep."""
    small = config.stash[MEASURE].device.type == "cpu" and not config.option.all_shapes
    unwanted = [item for item in items if (small and _outside(item, "CPU_SHAPES"))
                or (config.option.paper and _outside(item, "PAPER"))]
    config.hook.pytest_deselected(items=unwanted)
    items[:] = [item for item in items if item not in unwanted]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """A row for which memory or a compiler is lacking, wherever in the test, is skipped."""
    try:
        return (yield)
    except Exception as error:
        if not (out_of_memory(error) or not_compiled(error)):
            raise
        reason = "out of memory" if out_of_memory(error) else "cannot be compiled here"
        said = str(error).strip() or type(error).__name__
        pytest.skip(f"{reason}: {said.splitlines()[0]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown():
    """After a row its memory is given back: here, since before that a skip holds its frames."""
    try:
        return (yield)
    finally:
        release()


@pytest.fixture
def measure(request, mode) -> Callable:
    """measure(function, inputs, work, expected, tolerance, differentiable=()): check, then time.

    Args of the returned function:
        function: what is measured; its parameters are leaves if it is a module.
        inputs: Draw -> tuple of arguments.
        work: counted FLOP, bytes and exponentials of one call.
        expected: the same in float64, by another formula where there is one.
        tolerance: largest relative error.
        differentiable: which arguments gradients are taken of.
    """
    suite, parameters = request.config.stash[MEASURE], request.node.callspec.params
    device = _row_device(request)
    labels = {"operation": request.module.__name__.rpartition(".")[2].removeprefix("test_"),
              "implementation": parameters.get("implementation", "ours"),
              "shape": parameters.get("shape", "")}

    def run(function, inputs, work, expected, tolerance, differentiable=()) -> None:
        case = Case(function, inputs, work, expected, tolerance,
                    parameters.get("axis", "inference"), differentiable)
        suite.run(case, labels, device, mode, lambda: request.getfixturevalue("benchmark"))

    return run


@pytest.fixture
def device(request) -> torch.device:
    """Where the row runs."""
    return _row_device(request)


def pytest_terminal_summary(terminalreporter, config):
    """The table of all rows, and why they were not timed if they were not."""
    suite = config.stash[MEASURE]
    if not suite.rows:
        return
    terminalreporter.section(f"benchmarks on {device_name(suite.device)}")
    for line in report(suite.rows).splitlines():
        terminalreporter.write_line(line)
    if not suite.time:
        terminalreporter.write_line(
            "Checked once, not timed (asked for)." if config.option.only_check or
            config.option.benchmark_disable else "Checked once, not timed: no accelerator. "
            "--time-cpu times on the CPU with the host's clock.")
    elif suite.device.type == "cpu":
        terminalreporter.write_line("No accelerator: timed on the CPU with the host's clock, "
                                    f"{torch.get_num_threads()} threads, caches warm.")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config, machine_info):
    """Facts that decide the numbers; nothing that names the host."""
    suite = config.stash[MEASURE]
    for name in ("node", "release", "python_build"):
        machine_info.pop(name, None)
    cpu = machine_info.get("cpu", {})
    machine_info["cpu"] = {k: cpu[k] for k in ("brand_raw", "count", "l2_cache_size",
                                               "l3_cache_size") if k in cpu}
    machine_info.update(facts(suite.device), ceilings=suite.measured_ceilings)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config, output_json):
    """Leave single rounds out of the file unless --benchmark-save-data asks for them."""
    if not config.option.benchmark_save_data:
        for entry in output_json["benchmarks"]:
            entry["stats"].pop("data", None)


def _outside(item, choice: str) -> bool:
    """Whether an item's shape is one of its module's that is not in this choice of it."""
    shape = getattr(item, "callspec", None) and item.callspec.params.get("shape")
    shapes = getattr(item.module, "SHAPES", ())
    return shape in shapes and shape not in getattr(item.module, choice, shapes)


def _row_device(request) -> torch.device:
    """The CPU for a test marked by `host`, else the device of the session."""
    if hasattr(request.function, "host"):
        return torch.device("cpu")
    return request.config.stash[MEASURE].device


def _device(config) -> torch.device:
    asked = config.option.bench_device
    try:
        device = torch.device(asked) if asked else timing.accelerator() or torch.device("cpu")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise pytest.UsageError(f"--bench-device {asked!r}: {error}") from error
    return device
