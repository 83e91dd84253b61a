"""Measured errors of every component in float32, bf16 and tf32: reference/conformance/NUMERICS.md.

    python -m tests.support.numerics            write the table
    python -m tests.support.numerics --check    measure again, hold against the table, write nothing

The built-in adapter runs every golden case and is held against the stored float64 results. An
error is the largest difference of a tensor over its largest magnitude; a cell is the worst tensor
of a component at one level.

    float32   given numbers as they are, float32 throughout
    bf16      inputs and parameters rounded to bf16, arithmetic under torch.autocast(bfloat16); the
              random numbers stay, or other tokens would be masked
    tf32      float32 on a CUDA device with tf32 products allowed
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from reference.atomic import write_text
from reference.conformance.builtin import COMPONENTS
from reference.conformance.vectors import LEVELS, Case, compare, level_of, read_cases
from tests.oracle.generate import GOLDEN, rounded_tolerance
from tests.support.helpers import ROOT

TABLE = ROOT / "reference" / "conformance" / "NUMERICS.md"
PRECISIONS = ("float32", "bf16", "tf32")
NOT_RUN = "n/a"  # the component has no such precision, or there is no such device
Row = dict[str, float | None]  # error by precision


class Rounded(Case):
    """A case whose inputs and parameters hold only bf16 numbers."""

    def given(self, kind: str, dtype: str = "float64") -> dict[str, np.ndarray]:
        """As Case.given, rounded."""
        found = super().given(kind, dtype)
        return found if kind == "noise" else {name: _to_bf16(x) for name, x in found.items()}


def _to_bf16(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind != "f":
        return x
    rounded = torch.from_numpy(np.array(x)).to(torch.bfloat16)
    return rounded.to(torch.float64).numpy().astype(x.dtype)


@contextlib.contextmanager
def moved(device: str) -> Iterator[None]:
    """Tensors made from arrays go to the device, results come back readable by NumPy."""
    make, numpy = torch.from_numpy, torch.Tensor.numpy

    def readable(x: torch.Tensor) -> np.ndarray:
        x = x.detach().cpu()
        return numpy(x.float() if x.dtype in (torch.bfloat16, torch.float16) else x)

    def as_array(x: torch.Tensor, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(readable(x), dtype)

    with mock.patch.object(torch, "from_numpy", lambda x: make(x).to(device)), \
            mock.patch.object(torch.Tensor, "__array__", as_array), \
            mock.patch.object(torch.Tensor, "numpy", readable), torch.device(device):
        yield


@contextlib.contextmanager
def tf32_products() -> Iterator[None]:
    """Products and convolutions of a CUDA device in tf32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def run(function: Callable, case: Case, precision: str, device: str) -> dict[str, np.ndarray]:
    """Results of one case in one precision."""
    with moved(device):
        if precision == "bf16":
            with torch.autocast(device, dtype=torch.bfloat16):
                return function(Rounded(*case), "float32")
        with tf32_products() if precision == "tf32" else contextlib.nullcontext():
            return function(case, "float32")


def errors(case: Case, got: dict[str, np.ndarray]) -> dict[str, float]:
    """Error of every floating result, relative to the largest magnitude."""
    found = {}
    for name, want in case.expected().items():
        if want.dtype.kind == "f":
            largest = float(np.abs(want).max(initial=0.0)) or 1.0
            found[name] = compare(name, got[name], want, case.entries[name],
                                  "float32").largest / largest
    return found


def _one(function: Callable, case: Case, precision: str, device: str) -> dict[str, float] | None:
    """Errors of a case, None where it cannot be run: no tensor is in less than float64."""
    if precision == "tf32" and device == "cpu":
        return None
    try:
        got = run(function, case, precision, device)
    except (RuntimeError, TypeError, NotImplementedError):
        if precision == "float32":
            raise
        return None
    narrow = any(np.asarray(x).dtype in (np.float32, np.float16) for x in got.values())
    return errors(case, got) if narrow or precision == "float32" else None


def measure(cases: list[Case], precisions=PRECISIONS) -> dict[tuple[str, str], Row]:
    """{(component, level): {precision: worst error, or None where it cannot be run}}."""
    known, rows = COMPONENTS, {}
    card = "cuda" if torch.cuda.is_available() else "cpu"
    for case in cases:
        function = known[case.component]
        for precision in precisions:
            found = _one(function, case, precision, card if precision == "tf32" else "cpu")
            for name, want in case.expected().items():
                if want.dtype.kind != "f":
                    continue
                row = rows.setdefault((case.component, level_of(name)), {})
                worst = row.setdefault(precision, None)
                if found is not None:
                    row[precision] = max(worst or 0.0, found[name])
    return rows


def table(rows: dict[tuple[str, str], Row]) -> str:
    """The rows as Markdown, by component, levels in their order."""
    lines = ["| component | level | float32 | bf16 | tf32 |", "|---|---|---|---|---|"]
    for component, level in sorted(rows, key=lambda key: (key[0], LEVELS.index(key[1]))):
        cells = [NOT_RUN if rows[component, level].get(p) is None
                 else f"{rows[component, level][p]:.1e}" for p in PRECISIONS]
        lines.append(f"| {component} | {level} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def read_table(text: str) -> dict[tuple[str, str], Row]:
    """The rows of a Markdown table."""
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "component":
            rows[cells[0], cells[1]] = {p: None if cell == NOT_RUN else float(cell)
                                        for p, cell in zip(PRECISIONS, cells[2:], strict=True)}
    return rows


def disagreements(rows: dict, written: dict) -> list[str]:
    """Errors beyond the tolerance that the written ones give, and rows on one side only."""
    found = [f"{' '.join(key)}: only on one side" for key in sorted(rows.keys() ^ written.keys())]
    for key in sorted(rows.keys() & written.keys()):
        for precision, error in rows[key].items():
            noted = written[key][precision]
            if error is not None and noted is not None and not error <= rounded_tolerance(noted):
                found.append(f"{' '.join(key)}: {precision} error {error:.1e}, the table has "
                             f"{noted:.1e}, which allows {rounded_tolerance(noted):.0e}")
    return found


HEAD = """# Measured errors

Error of each component of this library against the stored float64 golden vectors (`golden/`): the
largest difference of a tensor over the tensor's largest magnitude, the worst tensor and case of
a component. float32: given numbers as they are. bf16: inputs and parameters rounded to bf16,
arithmetic under `torch.autocast(bfloat16)`; the losses switch autocast off, so theirs is the error
of the rounded inputs. tf32: float32 on a CUDA device with tf32 products. n/a: the component
computes in float64 whatever comes in (float32 then is its inputs' and outputs' precision), knows no
such precision, or there was no CUDA device.

Tolerances of tests against the golden vectors follow from the float32 column: 8 times the error,
rounded up to 1, 2 or 5 times a power of ten, where the default of the format leaves less
(`tests/oracle/measure.py`). Errors depend on the machine; `python -m tests.support.numerics
--check` and a
test hold them within the tolerance that the written ones give.

"""


def main(arguments=None, path: Path = TABLE) -> int:
    """Exit status: 1 where --check finds a disagreement."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.numerics",
                                     description="Measure the errors of every component.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    options = parser.parse_args(arguments)
    rows = measure(read_cases(GOLDEN))
    if options.check:
        found = disagreements(rows, read_table(path.read_text()))
        print("\n".join(found) or f"{len(rows)} rows agree")
        return 1 if found else 0
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    note = f"Measured with torch {torch.__version__.split('+')[0]}; CUDA device: {card}.\n\n"
    write_text(path, HEAD + note + table(rows))
    print(f"{len(rows)} rows written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
