"""reference.atomic: a file is the old one or the new one, never a half of either."""

from __future__ import annotations

import json
import math
import os

import pytest

from reference.atomic import replacing, write_json, write_text


@pytest.mark.parametrize("old", [None, b"old"])
def test_replacing_takes_the_place_when_the_block_ends(tmp_path, old):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with replacing(str(path)) as file:
        file.write(b"new")
        file.flush()
        assert (path.read_bytes() if path.exists() else None) == old
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, b"old"])
def test_replacing_leaves_what_was_there_after_any_exception(tmp_path, old, error):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half")
        raise error
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({"file": old} if old else {})


def test_replacing_needs_the_directory(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "none" / "file"):
        pass


def test_write_text_is_utf_8(tmp_path):
    write_text(tmp_path / "text", "\u00b5V\n")
    assert (tmp_path / "text").read_bytes() == b"\xc2\xb5V\n"


def test_write_json_reads_back_and_refuses_nan(tmp_path):
    path, value = tmp_path / "facts.json", {"unit": "\u00b5V", "values": [1, 0.5, None]}
    write_json(path, value)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == value and "\u00b5V" in text and text.endswith("}\n")
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON compliant"):
            write_json(path, {"a": number})
    assert path.read_text(encoding="utf-8") == text
