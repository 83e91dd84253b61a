"""Golden vectors on disk: one directory a case, NumPy only.

    CASE/manifest.json   component, configuration, one entry a tensor, in the order of computation
    CASE/vectors.npz     the arrays by name: float64, or integers and truth values

The beginning of a tensor's name says what it is:

    in/ noise/ param/    given: inputs, random numbers, parameters (state-dict names)
    mid/ out/            forward: intermediate and final results
    loss/                scalar losses
    grad/                gradient of the loss by an input or a parameter
    step/                after an optimiser step

Given numbers are representable in float32, so a float32 port starts from the very same values.
A large parameter is stored as a formula instead (`formula_tensor`), a large result as every k-th
entry of its row-major order (`every` in the manifest).

    z = (seed 2^32 + i + 1) 0x9E3779B97F4A7C15          modulo 2^64, as every product below
    z = (z ^ z >> 30) 0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) 0x94D049BB133111EB
    u_i = ((z ^ z >> 31) >> 11) / 2^53
    value_i = float32(shift + scale sqrt(12) (u_i - 1/2))
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reference.atomic import replacing, write_text

VECTORS = Path(__file__).resolve().parent / "golden"  # package data
VERSION = "1.0"
LEVELS = ("forward", "loss", "gradient", "steps")
GIVEN = ("in", "noise", "param")
_LEVEL_OF = {"mid": "forward", "out": "forward", "loss": "loss", "grad": "gradient",
             "step": "steps"}
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, RuntimeError,
           zipfile.BadZipFile, zlib.error)  # what a spoilt archive or manifest raises
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}  # where no error was measured


class Case(NamedTuple):
    """One case: name, component (the adapter's function), config, tensors and their entries.

    `tensors` holds arrays as stored, `entries` the manifest's facts of each: shape, dtype, and
    where it applies `formula`, `every`, `tolerance` (by the dtype of the port).
    """

    name: str
    component: str
    config: dict
    tensors: dict[str, np.ndarray]
    entries: dict[str, dict]

    def given(self, kind: str, dtype: str = "float64") -> dict[str, np.ndarray]:
        """Arrays of one kind ("in", "noise", "param") without their prefix.

        Args:
            kind: one of `GIVEN`.
            dtype: of the floating arrays, "float64" or "float32"; integers keep theirs.
        Returns:
            name -> array of the full shape.
        Raises:
            ValueError: unknown kind.
        """
        if kind not in GIVEN:
            raise ValueError(f"kind must be one of {GIVEN}, got {kind!r}")
        found = {}
        for name, entry in self.entries.items():
            if name.split("/", 1)[0] != kind:
                continue
            if "formula" in entry:
                value = formula_tensor(entry["shape"], **entry["formula"])
            else:
                value = self.tensors[name]
            found[name.split("/", 1)[1]] = value.astype(dtype) if value.dtype.kind == "f" else value
        return found

    def expected(self, level: str = "steps") -> dict[str, np.ndarray]:
        """Results up to and including a level, as stored, in the order of computation.

        Raises:
            ValueError: unknown level.
        """
        if level not in LEVELS:
            raise ValueError(f"level must be one of {LEVELS}, got {level!r}")
        top = LEVELS.index(level)
        return {name: value for name, value in self.tensors.items()
                if name.split("/", 1)[0] in _LEVEL_OF and LEVELS.index(level_of(name)) <= top}


class Difference(NamedTuple):
    """One comparison: what was allowed, what was found, where it is largest, in words if not ok."""

    name: str
    ok: bool
    largest: float
    allowed: float
    index: tuple[int, ...]  # type: ignore[assignment]  # hides a method of tuples
    words: str


def level_of(name: str) -> str:
    """Level of a result by its name: "out/z" -> "forward".

    Raises:
        ValueError: the name has no known beginning.
    """
    kind = name.split("/", 1)[0]
    if kind not in _LEVEL_OF:
        raise ValueError(f"name must begin with one of {sorted(_LEVEL_OF)}, got {name!r}")
    return _LEVEL_OF[kind]


def formula_tensor(shape: Sequence[int], seed: int, scale: float, shift: float = 0.0) -> np.ndarray:
    """Pseudo-random tensor that any language can make from integers (equation above).

    Args:
        shape: of the result.
        seed: 0 <= seed < 2^32.
        scale: standard deviation of the values, which are uniform.
        shift: their mean.
    Returns:
        float64 array of float32-representable values, row-major.
    Raises:
        ValueError: seed out of range.
    Source: splitmix64, Steele, Lea & Flood 2014: outputs seed 2^32 .. of the generator that starts
        at 0.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in [0, 2^32), got {seed}")
    count = math.prod(shape)
    z = np.arange(count, dtype=np.uint64) + np.uint64(seed << 32)
    z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)  # wraps, as it should
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    u = (z >> np.uint64(11)).astype(np.float64) / 2.0**53
    return (shift + scale * math.sqrt(12) * (u - 0.5)).astype(np.float32).astype(
        np.float64).reshape(shape)


def representable(x: np.ndarray) -> np.ndarray:
    """Nearest float32 values, as float64: what a given tensor has to hold."""
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def compare(name: str, got: Any, want: np.ndarray, entry: Mapping, dtype: str) -> Difference:
    """Hold a result against its vector: max |got - want| <= tolerance max |want|.

    Integers and truth values must be equal. A NaN or infinity never passes.

    Args:
        name: of the tensor.
        got: anything NumPy can read, of the full shape.
        want: the stored array (every k-th entry where the entry says so).
        entry: its manifest entry.
        dtype: precision of the port, "float64" or "float32": chooses the tolerance.
    Returns:
        Difference; `index` is the place in the full tensor.
    Raises:
        ValueError: unknown dtype.
    """
    if dtype not in TOLERANCE:
        raise ValueError(f"dtype must be one of {sorted(TOLERANCE)}, got {dtype!r}")
    shape = tuple(entry["shape"])
    try:
        got = np.asarray(got)
        numeric = got.dtype.kind in "fiub"
    except (TypeError, ValueError, RuntimeError):
        numeric = False
    if not numeric:
        return Difference(name, False, math.inf, 0.0, (),
                          f"not an array of real numbers: {repr(got)[:60]}")
    if got.shape != shape:
        return Difference(name, False, math.inf, 0.0, (),
                          f"shape {list(got.shape)}, should be {list(shape)}")
    exact = np.dtype(entry["dtype"]).kind != "f"
    rate = 0.0 if exact else entry.get("tolerance", TOLERANCE).get(dtype, TOLERANCE[dtype])
    allowed = rate * (float(np.abs(want).max(initial=0.0)) or 1.0)
    flat = got.reshape(-1).astype(np.float64)
    broken = np.flatnonzero(~np.isfinite(flat))
    if broken.size:
        index = _index(broken[0], shape)
        return Difference(name, False, math.inf, allowed, index,
                          f"{list(index)} is {flat[broken[0]]}, should be finite")
    if flat.size == 0:
        return Difference(name, True, 0.0, 0.0, (), "")
    every, want = entry.get("every", 1), want.reshape(-1).astype(np.float64)
    flat = flat[::every]
    error = np.abs(flat - want)
    place = int(np.argmax(error))
    largest, index = float(error[place]), _index(place * every, shape)
    ok = bool(largest <= allowed)
    words = "" if ok else (f"{list(index)} is {flat[place]:.9g}, should be {want[place]:.9g}; "
                           f"largest difference {largest:.3g}, allowed {allowed:.3g}")
    return Difference(name, ok, largest, allowed, index, words)


def _index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Place in row-major order -> index."""
    return tuple(int(i) for i in np.unravel_index(place, shape)) if shape else ()


def write_case(directory: str | os.PathLike, case: Case, *, seed: int, command: str) -> None:
    """Write a case atomically: vectors first, manifest last.

    Args:
        directory: of all cases; the case gets a folder of its name.
        case: entries may leave out shape and dtype, which are taken from the arrays (not with
            `formula` or `every`).
        seed: that made the given arrays.
        command: that makes the files again.
    Raises:
        ValueError: a NaN or infinity, a given array that float32 cannot hold, an unknown name.
    """
    arrays, entries = {}, {}
    for name, entry in case.entries.items():
        entry = dict(entry)
        if name.split("/", 1)[0] not in GIVEN:
            level_of(name)
        if "formula" in entry:
            entries[name] = {"shape": list(entry.pop("shape")), "dtype": "float64", **entry}
            continue
        value = np.asarray(case.tensors[name])
        if value.dtype.kind == "f":
            value = value.astype(np.float64)
            if not np.isfinite(value).all():
                raise ValueError(f"{case.name} {name} holds a NaN or an infinity")
            if name.split("/", 1)[0] in GIVEN and (representable(value) != value).any():
                raise ValueError(f"{case.name} {name} holds values that float32 cannot")
        arrays[name] = value
        entry.setdefault("shape", list(value.shape))
        entries[name] = {"shape": list(entry.pop("shape")), "dtype": str(value.dtype), **entry}
    folder = Path(directory) / case.name
    folder.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]  # taken for allow_pickle
    manifest = {"case": case.name, "component": case.component, "version": VERSION, "seed": seed,
                "command": command, "config": case.config, "tensors": entries}
    with replacing(folder / "vectors.npz") as file:
        file.write(packed.getvalue())
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def read_case(folder: str | os.PathLike) -> Case:
    """Read one case.

    Args:
        folder: with manifest.json and vectors.npz.
    Returns:
        Case.
    Raises:
        ValueError: a missing or damaged file, or a manifest of another version.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        with np.load(folder / "vectors.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if manifest["version"].split(".")[0] != VERSION.split(".")[0]:
            raise ValueError(f"version {manifest['version']}, this code reads {VERSION}")
        entries = manifest["tensors"]
        tensors = {name: arrays[name] for name, entry in entries.items() if "formula" not in entry}
        return Case(manifest["case"], manifest["component"], manifest["config"], tensors, entries)
    except _DAMAGE as error:
        raise ValueError(f"{folder} is not a readable case: {error}") from error


def read_cases(directory: str | os.PathLike) -> list[Case]:
    """Every case below a directory, by name.

    Raises:
        ValueError: no case there, or a damaged one.
    """
    folders = sorted(path.parent for path in Path(directory).glob("*/manifest.json"))
    if not folders:
        raise ValueError(f"no golden vectors (CASE/manifest.json) in {directory}")
    return [read_case(folder) for folder in folders]
