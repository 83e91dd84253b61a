"""Plugin for pytest: collect the benchmarks as on a CUDA card, where there is none.

    python -m pytest benchmarks -p tests.support.as_cuda --collect-only

Prints one JSON line: the name of every row (operation, implementation, shape, axis, mode). Nothing
can run.
"""

from __future__ import annotations

import json

import torch

_empty = torch.empty


def _without_a_card(*shape, device=None, **options) -> torch.Tensor:
    """torch.empty, on a device that holds nothing in place of a card."""
    card = device is not None and torch.device(device).type == "cuda"
    return _empty(*shape, device="meta" if card else device, **options)


# what the suite asks of a card before it collects, which is before any hook of this plugin
torch.empty = _without_a_card
torch.cuda.is_available = lambda: True
torch.cuda.current_device = lambda: 0
torch.cuda.get_device_capability = lambda device=None: (9, 0)


def pytest_collection_finish(session):
    """One line with all rows."""
    rows = []
    for item in session.items:
        given = item.callspec.params
        operation = item.module.__name__.rpartition(".")[2].removeprefix("test_")
        rows.append([operation, given.get("implementation", "ours"), given.get("shape", ""),
                     given.get("axis", "inference"), given.get("mode", "")])
    print("\nrows of a card: " + json.dumps(rows))
