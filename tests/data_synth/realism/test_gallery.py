"""Pictures: who is shown, and that they are drawn."""

from __future__ import annotations

import sys

import pytest

from data_synth import __main__ as command
from data_synth import simulate_one
from data_synth.realism import gallery


def test_find_reads_physiology_only():
    subject = gallery.find("left_bundle_branch_block", 0)
    assert simulate_one(subject, 0).latents["lbbb"] == 1
    with pytest.raises(ValueError, match="finding='flutter'"):
        gallery.find("flutter")
    with pytest.raises(ValueError, match=r"no dcm among subjects 0\.\.2"):
        gallery.find("dcm", 0, 0, 3)


def test_sheet_and_frames_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    one = simulate_one(0, 0)
    assert "LVEF" in gallery.describe(one)
    for picture in (gallery.sheet, gallery.frames):
        path = tmp_path / f"{picture.__name__}.png"
        picture(path, one, "a title")
        assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 20_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frames.png", "sheet.png"]


def test_a_gallery_has_two_pictures_for_each_finding(tmp_path, monkeypatch, capsys, quick_report):
    """Through the command, with the drawing itself replaced: everyone shown has the finding."""
    shown = []

    def picture(path, one, title):
        shown.append((path.name, title, one.latents))
        path.write_bytes(b"picture")

    few = {name: gallery.FINDINGS[name] for name in ("normal", "fibrillation", "infarct_inferior")}
    monkeypatch.setattr(gallery, "FINDINGS", few)
    monkeypatch.setattr(gallery, "sheet", picture)
    monkeypatch.setattr(gallery, "frames", picture)
    monkeypatch.setattr(gallery, "available", lambda: True)
    folder = tmp_path / "new" / "gallery"
    assert command.main(["report", "--subjects", "200", "--gallery", str(folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-6:] == [str(folder / name) for name, _, _ in shown]
    assert [name for name, _, _ in shown] == [
        f"{finding}_{kind}.png" for finding in few for kind in ("ecg", "cine")]
    for name, title, latents in shown:
        finding = name.rsplit("_", 1)[0]
        assert few[finding](latents) and title.startswith(finding.replace("_", " ") + ", subject")
    assert "scar" in shown[4][1] and "scar" not in shown[0][1]


def test_pictures_without_matplotlib_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not gallery.available()
    with pytest.raises(SystemExit) as stop:
        command.main(["report", "--gallery", str(tmp_path / "g")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "pip install" in error and error.count("\n") == 1
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        gallery.sheet(tmp_path / "a.png", simulate_one(0, 0), "a title")
    assert not list(tmp_path.iterdir())
