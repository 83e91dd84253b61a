"""Pictures: every function writes one readable PNG; without matplotlib there is one clear line."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from reference.experiment import figures

PNG = b"\x89PNG\r\n\x1a\n"


def draw(name: str, path) -> None:
    """Call one figure function on random data."""
    rng = np.random.default_rng(0)
    ecg = rng.standard_normal((12, 50))
    if name == "reconstruction":
        figures.reconstruction(path, ecg, ecg, rng.random((12, 5)) < 0.8, 100, np.zeros(12))
    elif name == "similarity":
        figures.similarity(path, ecg, ecg, rng.random((3, 8, 8)), rng.random((8, 8)), 100)
    elif name == "phenotype_bars":
        figures.phenotype_bars(path, {"mdm": {"LV": 0.2, "RV": 0.1}, "cmr": {"LV": 0.5, "RV": 0.4}})
    else:
        figures.loss_curves(path, {"mdm": [3, 2, 1.0], "mmcl": [4.1, 4.0, 3.9]}, 4.16)


NAMES = ("reconstruction", "similarity", "phenotype_bars", "loss_curves")


@pytest.mark.parametrize("name", NAMES)
def test_figure_writes_one_png(name, tmp_path):
    pytest.importorskip("matplotlib")
    draw(name, tmp_path / "picture.png")
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]
    content = (tmp_path / "picture.png").read_bytes()
    assert content.startswith(PNG) and len(content) > 5000


@pytest.mark.parametrize("name", NAMES)
def test_missing_matplotlib_is_named_in_one_line(name, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module.startswith("matplotlib"):
            raise ImportError(module)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not figures.available()
    with pytest.raises(ModuleNotFoundError, match=r"matplotlib.*figures") as error:
        draw(name, tmp_path / "picture.png")
    assert len(str(error.value).splitlines()) == 1 and list(tmp_path.iterdir()) == []
