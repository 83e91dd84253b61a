"""The folders: what each says of itself, and what each may import."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.support.helpers import ROOT, assert_equal

PRODUCT = ROOT / "data_synth"
WINGS = ("heart", "ecg", "cmr", "realism", "audit")
FORBIDDEN = {"heart": {"ecg", "cmr", "realism", "audit"}, "ecg": {"cmr", "realism", "audit"},
             "cmr": {"ecg", "realism", "audit"}, "realism": {"audit"}, "audit": set(),
             "": {"realism", "audit"}}  # the root: `__main__` names its commands in a table


def imported(wing: str) -> set[str]:
    """Wings that the files of a wing import."""
    names = []
    for path in (PRODUCT / wing).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "data_synth" and part[1] in WINGS}


@pytest.mark.parametrize("wing", FORBIDDEN)
def test_wings_import_only_what_they_may(wing):
    assert_equal("forbidden", sorted(imported(wing) & FORBIDDEN[wing]), [])


@pytest.mark.parametrize("wing", WINGS)
def test_a_face_is_short_and_names_every_file(wing):
    text = (PRODUCT / wing / "__init__.py").read_text()
    face = ast.parse(text)
    assert len(face.body) == 1 and len(text.splitlines()) <= 15
    words = (ast.get_docstring(face) or "").replace(",", " ").split()
    assert {path.stem for path in (PRODUCT / wing).glob("*.py")} - {"__init__"} <= set(words)


def test_a_worker_loads_no_torch():
    words = ("import sys, data_synth.writing, data_synth.realism.measurement; "
             "print([name for name in ('torch', 'matplotlib') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=True, text=True,
                          capture_output=True)
    assert_equal("loaded", done.stdout, "[]\n")
