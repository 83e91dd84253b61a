"""One line of progress on stderr: stage, step, loss, rate, time left.

On a terminal the line is rewritten in place, at most once a second; elsewhere plain lines come
every ten seconds. The last step of a stage is always shown.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

TERMINAL_SECONDS, PLAIN_SECONDS = 1.0, 10.0


class ProgressLine:
    """Callable (stage, step, steps, loss or None) that prints now and then.

    Args:
        stream: where to, default stderr.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.stage, self.start, self.last, self.width = "", 0.0, 0.0, 0
        self.first = 0  # step at which the stage was first seen: the rate counts from there

    def __call__(self, stage: str, step: int, steps: int, loss: float | None = None) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.close()
            self.stage, self.start, self.last, self.first = stage, now, now, step
        wait = TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS
        if now - self.last < wait and step < steps:
            return
        self.last = now
        rate = (step - self.first) / max(now - self.start, 1e-9)
        left = int((steps - step) / rate) if rate > 0 else 0
        shown = "" if loss is None else f"  loss {loss:.4f}"
        self._print(f"{stage:<12} {step}/{steps}{shown}  {rate:.1f}/s  {left // 60}:{left % 60:02d}"
                    " left", final=step >= steps)

    def _print(self, line: str, final: bool) -> None:
        if self.terminal:
            self.stream.write("\r" + line.ljust(self.width) + ("\n" if final else ""))
            self.width = 0 if final else len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def close(self) -> None:
        """End a line that is still being rewritten."""
        if self.terminal and self.width:
            self.stream.write("\n")
            self.width = 0
