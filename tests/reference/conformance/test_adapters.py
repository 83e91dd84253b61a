"""Adapters: which functions a file brings, and what is said about a file that brings none."""

from __future__ import annotations

import sys
import types

import pytest

from reference.conformance import adapters

KNOWN = ["clip_loss", "random_mask"]


def load(tmp_path, source):
    path = tmp_path / "port.py"
    path.write_text(source)
    return adapters.load(path, KNOWN)


def test_every_component_has_its_place_in_the_order_of_work():
    order = [name for names in adapters.GROUPS.values() for name in names]
    assert len(set(order)) == len(order)
    assert not set(adapters.GROUPS) & set(order)
    assert sorted(["zzz", *reversed(order)], key=adapters.place) == [*order, "zzz"]


def test_load_takes_functions_named_as_components(tmp_path):
    found = load(tmp_path, "def clip_loss(case, dtype): return 7\ndef helper(): pass\n")
    assert list(found) == ["clip_loss"] and found["clip_loss"](None, "float32") == 7


def test_load_takes_the_table_alone_where_there_is_one(tmp_path):
    found = load(tmp_path, "def clip_loss(case, dtype): return 1\n"
                           "COMPONENTS = {'random_mask': lambda case, dtype: 2}\n")
    assert list(found) == ["random_mask"] and found["random_mask"](None, "float32") == 2


def test_load_reaches_modules_beside_the_file_and_dataclasses(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_the_port.py").write_text("ANSWER = 42\n")
    found = load(tmp_path, "from __future__ import annotations\n"
                           "from dataclasses import dataclass\nimport beside_the_port\n"
                           "@dataclass\nclass Sizes:\n    n: int = beside_the_port.ANSWER\n"
                           "def clip_loss(case, dtype): return Sizes().n\n")
    assert found["clip_loss"](None, "float32") == 42
    assert isinstance(sys.modules["adapter_file_port"], types.ModuleType)


@pytest.mark.parametrize("source, wanted", [
    ("def broken(:", "cannot be executed: SyntaxError"),
    ("1 / 0", "cannot be executed: ZeroDivisionError: division by zero"),
    ("import no_such_module_here", "cannot be executed: ModuleNotFoundError"),
    ("raise SystemExit(3)", "cannot be executed: SystemExit: 3"),
    ("COMPONENTS = {'clip_los': print}", "unknown component of .* 'clip_los'; there is clip_loss"),
    ("COMPONENTS = {'clip_loss': 3}", "clip_loss is a int, should be a function"),
    ("clip_loss = 3", "clip_loss is a int, should be a function"),
    ("COMPONENTS = ['clip_loss']", "COMPONENTS is a list, should be a dictionary"),
])
def test_load_refuses_in_one_line(tmp_path, source, wanted):
    with pytest.raises(ValueError, match=wanted) as caught:
        load(tmp_path, source)
    assert "\n" not in str(caught.value)


def test_load_refuses_what_is_no_python_file(tmp_path):
    with pytest.raises(ValueError, match="no adapter at"):
        adapters.load(tmp_path, KNOWN)
    (tmp_path / "port.txt").write_text("x = 1")
    with pytest.raises(ValueError, match="is not a Python file"):
        adapters.load(tmp_path / "port.txt", KNOWN)


def test_require_known_names_the_nearest():
    adapters.require_known(["clip_loss"], KNOWN, "component")
    with pytest.raises(ValueError, match=r"unknown component 'clip'; there is clip_loss$"):
        adapters.require_known(["clip_loss", "clip"], KNOWN, "component")
    with pytest.raises(ValueError, match=r"there is clip_loss, random_mask$"):
        adapters.require_known(["zzz"], KNOWN, "component")
