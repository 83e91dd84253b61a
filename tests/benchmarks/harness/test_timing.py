"""Clocks of the benchmarks: of the host, of a simulated device, of a card where there is one."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.harness import timing
from tests.support.benchmarking import CPU, Device, needs_cuda
from tests.support.helpers import assert_close, assert_equal


def test_host_clock_sees_a_sleep():
    timer = timing.clock(CPU, "host")
    start = time.perf_counter()
    seconds = timing.durations(lambda: time.sleep(0.01), timer, rounds=3)
    elapsed = time.perf_counter() - start
    assert_equal("rounds", len(seconds), 3)
    assert min(seconds) >= 0.0095 and sum(seconds) <= elapsed, (seconds, elapsed)


@pytest.mark.parametrize("ahead, seconds", [(False, 35e-6), (True, 20e-6)])
def test_event_clock_of_known_kernels(monkeypatch, ahead, seconds):
    device, timer = Device.clock(monkeypatch, ahead)

    def body() -> None:  # launches of 15 us, kernels of 10 us: the device waits, if it is idle
        device.kernel(10e-6, host=10e-6)
        device.kernel(10e-6, host=15e-6)

    got = timing.durations(body, timer, rounds=3)
    assert_close("seconds", got, [seconds] * 3, rtol=1e-9)
    assert_equal("flushes, one of them for the warm-up", device.flushes, 4)
    device.kernel(1e-3, host=0.05)  # outside any pair, and the device is still busy with it
    between = timer()
    body()
    assert_close("first call of a pair adds nothing", between, 4 * seconds, rtol=1e-9)
    assert_close("a busy device", timer() - between, seconds, rtol=1e-9)


def test_restart_closes_the_pair_of_a_body_that_failed(monkeypatch):
    device, timer = Device.clock(monkeypatch, ahead=False)

    def fails() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        timing.durations(fails, timer, rounds=1)
    timer.restart()
    got = timing.durations(lambda: device.kernel(1e-3), timer, rounds=2)
    assert_close("seconds", got, [1e-3] * 2, rtol=1e-9)


def test_block_grows_until_the_host_is_ahead(monkeypatch):
    device, timer = Device.clock(monkeypatch, ahead=True)

    def replay() -> None:  # the host needs 0.6 ms before the last of its kernels is queued
        device.kernel(5e-6, host=0.3e-3)
        device.kernel(5e-6, host=0.3e-3)

    got = timing.durations(replay, timer, rounds=4, warm_up=0)
    assert got[0] > 200e-6, "the block of 0.2 ms ended while the host was queueing"
    assert_close("seconds", got[1:], [10e-6] * 3, rtol=1e-9)
    learned = timer.learned(4)
    assert_equal("late", (learned["late"], timer.learned(3)["late"]), (1, 0))
    assert_close("clock rate", learned["clock_hz"], device.hertz, rtol=1e-9)
    assert_equal("blocks", len(set(device.cycles)), 2, "it stays where it suffices")
    assert device.cycles[-1] / timing.MOST_HERTZ >= 0.6e-3, "long enough for any device"
    timer.restart()
    timing.durations(lambda: device.kernel(1e-6), timer, rounds=1, warm_up=0)
    assert_equal("after restart", (device.cycles[-1], timer.learned(9)["late"]),
                 (timing.BLOCK_CYCLES, 0))


def test_block_has_a_longest_length(monkeypatch):
    device, timer = Device.clock(monkeypatch, ahead=True)

    def synchronising() -> None:  # waits for the device itself, however long the block is
        device.drain(None)
        device.kernel(1e-6, host=1e-3)

    timing.durations(synchronising, timer, rounds=20)
    assert_equal("longest", max(device.cycles), timing.MOST_BLOCK_CYCLES)
    assert_equal("late", timer.learned(20)["late"], 20)


def test_only_a_clock_ahead_learns(monkeypatch):
    device, timer = Device.clock(monkeypatch, ahead=False)
    timing.durations(lambda: device.kernel(1e-6), timer, rounds=2)
    host = timing.HostClock(CPU)
    host.restart()
    assert_equal("learned", (timer.learned(2), host.learned(2)), ({}, {}))
    assert_equal("blocks", len(device.cycles), 0)


def test_clock_refuses_what_the_device_lacks():
    with pytest.raises(ValueError, match="'lap'"):
        timing.clock(CPU, "lap")
    with pytest.raises(ValueError, match="needs CUDA"):
        timing.clock(CPU, "graph")
    with pytest.raises(ValueError, match="no timed events"):
        timing.clock(CPU, "stream")
    assert_equal("modes", "/".join(timing.modes(CPU)), "host")


@needs_cuda
@pytest.mark.parametrize("mode", ["stream", "graph"])
def test_device_clocks_agree_with_a_copy_of_known_length(mode):
    device = timing.accelerator()
    x, y = torch.rand(2, 2**24, device=device)
    with timing.side_stream(device):
        body = timing.capture(lambda: y.copy_(x)) if mode == "graph" else lambda: y.copy_(x)
        once = np.median(timing.durations(body, timing.clock(device, mode), 20, warm_up=5))
    timing.drain(device)
    start = time.perf_counter()
    for _ in range(100):
        y.copy_(x)
    timing.drain(device)
    assert once <= 2 * (time.perf_counter() - start) / 100 + 1e-4, once


def test_host_clock_returns_perf_counter(monkeypatch):
    ticks = iter([1.0, 3.5, 10.0, 10.25, 20.0, 21.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    calls = []
    got = timing.durations(lambda: calls.append(0), timing.HostClock(CPU), rounds=2, warm_up=1)
    assert_equal("seconds", got, [0.25, 1.0])
    assert_equal("calls", len(calls), 3)


def test_host_clock_brackets_a_body_that_reads_the_same_clock():
    inside = []

    def body() -> None:
        start = time.perf_counter()
        while time.perf_counter() < start + 2e-3:
            pass
        inside.append(time.perf_counter() - start)

    before = time.perf_counter()
    seconds = timing.durations(body, timing.HostClock(CPU), rounds=3, warm_up=0)
    total = time.perf_counter() - before
    assert all(s >= i >= 2e-3 for s, i in zip(seconds, inside, strict=True)), (seconds, inside)
    assert sum(seconds) <= total, (seconds, total)


@needs_cuda
@pytest.mark.parametrize("mode", ["stream", "graph"])
def test_device_clock_scales_with_a_sleep_of_known_cycles(mode):
    device = timing.accelerator()
    clock = timing.clock(device, mode)
    short, long = (sorted(timing.durations(partial(torch.cuda._sleep, n), clock, 15))[7]
                   for n in (2_000_000, 20_000_000))
    assert_close("cycles a second", 18e6 / (long - short) / 1e9, 1.5, atol=1.0)
    assert_close("ratio", long / short, 10, rtol=0.1)
    if mode == "graph":
        learned = clock.learned(30)
        assert_equal("late", learned["late"], 0)
        assert_close("clock rate", learned["clock_hz"] * (long - short), 18e6, rtol=0.1)
