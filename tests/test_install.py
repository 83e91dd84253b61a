"""An ordinary install is whole: a wheel in a new environment, used from an empty directory."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from tests.support import ahead
from tests.support.helpers import ROOT


@ahead.program
def wheel() -> Path:
    """The wheel, built from a copy of what git tracks and has not ignored, without network."""
    source, out = (ahead.folder(name) for name in ("source", "wheel"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for package in ("reference", "data_synth", "benchmarks"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                copy = source / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index",
                    "--no-build-isolation", "-w", str(out), str(source)], check=True)
    return next(out.glob("*.whl"))


@ahead.program
def programs() -> Path:
    """Programs of an environment that has the wheel, and torch and NumPy from this one."""
    home = ahead.folder("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    found = home / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([sys.executable, "-m", "pip", "--python", str(found / "python"), "install",
                    "-q", "--no-deps", "--no-index", str(wheel())], check=True)
    site = next(home.rglob("site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return found


def run(empty: Path, name: str, *arguments: str) -> str:
    """Output of a program of the environment, from an empty directory."""
    done = subprocess.run([str(programs() / name), *arguments], cwd=empty, capture_output=True,
                          text=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    assert done.returncode == 0, done.stderr
    return done.stdout


@ahead.program
def verified() -> str:
    """What the library says of its vectors."""
    return run(ahead.folder("verify"), "ecgcmr", "verify", "--dtype", "float32")


@ahead.program
def main_job() -> tuple[str, Path]:
    """What the main job prints, and where it ran."""
    empty = ahead.folder("main_job")
    return run(empty, "ecgcmr", "run", "--preset", "smoke", "--device", "cpu"), empty


def test_the_wheel_holds_every_file_of_the_packages():
    held = set(zipfile.ZipFile(wheel()).namelist())
    wanted = {path.relative_to(ROOT).as_posix() for package in ("reference", "data_synth")
              for path in (ROOT / package).rglob("*")
              if path.is_file() and "__pycache__" not in path.parts}
    assert not wanted - held
    assert not [name for name in held if name.startswith("tests")]


def test_code_comes_from_the_wheel(tmp_path):
    where = run(tmp_path, "python", "-c", "import reference, data_synth, benchmarks\n"
                "print(reference.__file__, data_synth.__file__, benchmarks.__file__)")
    assert all(Path(name).is_relative_to(programs().parent) for name in where.split())


def test_the_library_passes_the_vectors_it_brings():
    assert "71 of 71 implemented components pass, 0 fail" in verified()


def test_the_main_job_runs():
    printed, where = main_job()
    assert "| mdm+mmcl |" in printed
    assert (where / "runs" / "smoke-0" / "report.json").is_file()


def test_a_synthetic_cohort_is_written(tmp_path):
    run(tmp_path, "python", "-m", "data_synth", "--subjects", "8", "--out", "c")
    assert "valid, 8 subjects" in run(tmp_path, "ecgcmr", "check", "c")


def test_the_benchmarks_explain_themselves(tmp_path):
    assert "report" in run(tmp_path, "python", "-m", "benchmarks", "--help")
