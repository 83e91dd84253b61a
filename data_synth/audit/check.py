"""One line of the audit: what was asked, what came, what was allowed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line of the audit."""

    name: str
    number: float
    bound: str
    passed: bool | None  # None: reported only
    detail: str = ""

    def __post_init__(self):
        """NumPy's numbers and truth values become Python's, for `is` and for JSON."""
        object.__setattr__(self, "number", float(self.number))
        object.__setattr__(self, "passed", None if self.passed is None else bool(self.passed))
