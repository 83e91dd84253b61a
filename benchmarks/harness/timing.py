"""Clocks for pytest-benchmark: device events, captured graphs, or the clock of the host.

    stream   flush, drain,        | event, body, event |    launches count: what an eager user gets
    graph    flush, event, block, | event, replay, event |  queued behind the block: device alone
    host     drain,               | perf_counter, body, drain, perf_counter |

A clock is called in pairs, before and after the body, and returns seconds that have run between the
first and the second call of all pairs so far; only differences have a meaning.

Glossary: body = callable without arguments, one input set bound; flush = fill a buffer larger than
the last-level cache with zeros, so that inputs are cold; drain = wait until the device is idle;
block = keep the device busy for a known number of its cycles while the host queues the next work;
late = the block ended before all was queued, so that host time may be within the window.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

FLUSH_BYTES = 256 * 2**20  # twice the L2 of a B200; no more than an MI300X's Infinity Cache
BLOCK_CYCLES = 400_000  # about 0.2 ms at 1.9 GHz; a replay takes the host 15 us and .6 us a node
MOST_BLOCK_CYCLES = 64 * BLOCK_CYCLES
MOST_HERTZ = 3e9  # a faster clock than any device's: cycles that surely last so many seconds
CAPTURE_WARM_UP = 3  # eager runs before a capture, as torch's own documentation asks
MODES = ("graph", "stream", "host")


def accelerator() -> torch.device | None:
    """The first device of torch's accelerator, or None on a machine without one."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if hasattr(torch, "accelerator") and torch.accelerator.is_available():  # torch >= 2.6
        return torch.device(torch.accelerator.current_accelerator().type, 0)
    for name in ("xpu", "mps"):
        backend = getattr(torch, name, None)
        if backend is not None and backend.is_available():
            return torch.device(name, 0)
    return None


def modes(device: torch.device) -> tuple[str, ...]:
    """The modes that a device can be timed in, the most trustworthy first."""
    if device.type == "cuda":
        return ("graph", "stream")
    return ("stream",) if _event_type(device) is not None else ("host",)


def drain(device: torch.device) -> None:
    """Wait until the device is idle; nothing to do on the CPU."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


class HostClock:
    """perf_counter of an idle device: launches, Python and waiting included."""

    __name__ = "host_clock"

    def __init__(self, device: torch.device):
        self._device = device

    def __call__(self) -> float:
        drain(self._device)
        return time.perf_counter()

    def restart(self) -> None:
        """Nothing is kept of a body."""

    def learned(self, pairs: int) -> dict[str, float]:
        """Nothing beside the times."""
        return {}


class EventClock:
    """Device time between two events, with a cold cache before the first of each pair.

    Args (constructor):
        device: one whose backend has timed events.
        ahead: queue a block before the first event, so that everything up to the second event is
            enqueued while the device is busy (mode graph); otherwise the device is idle at the
            first event and the host's launches fall inside the window (mode stream). After a late
            pair the next one's block is longer.
    Raises: ValueError for a device without timed events.
    """

    def __init__(self, device: torch.device, ahead: bool = False):
        event = _event_type(device)
        if event is None:
            raise ValueError(f"device {device} has no timed events; use the host clock")
        self.__name__ = "graph_clock" if ahead else "stream_clock"  # what the JSON calls the timer
        self._device, self._ahead = device, ahead
        self._block, self._first, self._second = (event(enable_timing=True) for _ in range(3))
        self._buffer = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=device)
        self._elapsed = 0.0
        self.restart()

    def restart(self) -> None:
        """Forget what was learned of the last body, and a pair that its failure left open."""
        self._running = False
        self._late: list[bool] = []
        self._hertz: list[float] = []
        self._cycles, self._blocked_at = BLOCK_CYCLES, 0.0

    def learned(self, pairs: int) -> dict[str, float]:
        """Of the last pairs, ahead only: how many were late; median clock rate of blocks in 1/s."""
        if not self._ahead:
            return {}
        return {"late": sum(self._late[-pairs:]),
                "clock_hz": statistics.median(self._hertz[-pairs:])}

    def __call__(self) -> float:
        if self._running:
            self._second.record()
            late = self._ahead and self._first.query()
            queued = time.perf_counter() - self._blocked_at
            self._second.synchronize()
            self._elapsed += self._first.elapsed_time(self._second) / 1e3
            if self._ahead:
                self._learn(late, queued)
        else:
            self._buffer.zero_()
            if self._ahead:
                self._block.record()
                self._blocked_at = time.perf_counter()
                _block(self._device, self._cycles)
            else:
                drain(self._device)
            self._first.record()
        self._running = not self._running
        return self._elapsed

    def _learn(self, late: bool, queued: float) -> None:
        """From one pair: its clock rate, and after a late one a longer block for the next."""
        self._late.append(late)
        self._hertz.append(1e3 * self._cycles / self._block.elapsed_time(self._first))
        if late:
            self._cycles = min(int(2 * queued * MOST_HERTZ), MOST_BLOCK_CYCLES)


def clock(device: torch.device, mode: str) -> Callable[[], float]:
    """The clock of a mode on a device.

    Raises: ValueError for an unknown mode, or one that the device does not have.
    """
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}; one of {MODES} is needed")
    if mode == "graph" and device.type != "cuda":
        raise ValueError(f"mode 'graph' needs CUDA, the device is {device}")
    return HostClock(device) if mode == "host" else EventClock(device, ahead=mode == "graph")


def capture(body: Callable[[], object]) -> Callable[[], object]:
    """Record the body as a CUDA graph on the current stream; the result replays it.

    The current stream must not be the default one, and whatever the body's backward pass differs
    from must have been computed on it (`side_stream`).

    Args:
        body: always the same kernels on the same memory, no host synchronisation.
    Returns:
        Callable that replays the graph and returns the body's outputs, whose memory is overwritten
        at each replay.
    Raises:
        RuntimeError: the body cannot be captured.
    """
    for _ in range(CAPTURE_WARM_UP):
        body()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        outputs = body()

    def replay() -> object:
        graph.replay()
        return outputs

    return replay


def side_stream(device: torch.device) -> torch.cuda.StreamContext:
    """Context: a fresh stream of a CUDA device that starts after all work queued so far."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


def durations(body: Callable[[], object], timer: Callable[[], float], rounds: int,
              warm_up: int = 1) -> list[float]:
    """Seconds of each of `rounds` calls after `warm_up` untimed ones, one clock pair a call."""
    seconds = []
    for turn in range(-warm_up, rounds):
        start = timer()
        body()
        stop = timer()
        if turn >= 0:
            seconds.append(stop - start)
    return seconds


def _event_type(device: torch.device) -> type | None:
    """The backend's event class (torch.cuda.Event, torch.xpu.Event, torch.mps.event.Event)."""
    if device.type == "cpu":  # torch.cpu.Event exists, without a clock
        return None
    backend = getattr(torch, device.type, None)
    named = getattr(backend, "Event", None)
    return named or getattr(getattr(backend, "event", None), "Event", None)


def _block(device: torch.device, cycles: int) -> None:
    """Keep a CUDA device busy for a known number of cycles."""
    with torch.cuda.device(device):
        torch.cuda._sleep(cycles)
