"""Settings of a session: CPU threads, Triton's interpreter, and the parity table."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # read at import; programs run beside the tests

import torch  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402

from tests.support import ahead, helpers  # noqa: E402

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is first imported
settings.register_profile("suite", deadline=None, derandomize=True, print_blob=True,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mutation", settings.get_profile("suite"), max_examples=8, database=None,
                          phases=(Phase.explicit, Phase.generate))  # a failure is not shrunk
settings.load_profile("suite")


def pytest_terminal_summary(terminalreporter):
    """Print every measured parity error: component, source, error, tolerance."""
    if not helpers.PARITY:
        return
    terminalreporter.section("parity with the authors' code (relative error)")
    for component, source, error, tolerance in sorted(helpers.PARITY):
        terminalreporter.write_line(f"{component:<44} {source:<24} {error:9.2e}  "
                                    f"<= {tolerance:.0e}")


def pytest_collection_modifyitems(items):
    """Tests that wait for programs come last."""
    waiting = ahead.modules()
    items.sort(key=lambda item: item.module.__name__ in waiting)


def pytest_collection_finish(session):
    """Start the programs of the tests that will run."""
    if not session.config.option.collectonly:
        ahead.start({item.module.__name__ for item in session.items})
