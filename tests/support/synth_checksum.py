"""What the generator gives for a few subjects, as numbers that are stored for every VERSION.

    python -m tests.support.synth_checksum      writes tests/golden/synth_checksum.json

Run it after raising `data_synth.VERSION`; it refuses where the output of a stored VERSION changed.

The entry of this VERSION holds a summary, the same on every machine but for rounding; every
entry holds, for each machine (its NumPy, C library and processor features, which decide the last
bit), the SHA-256 of the bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path

import numpy as np

import data_synth

GOLDEN = Path(__file__).parents[1] / "golden" / "synth_checksum.json"
CASES = (  # subjects, arguments of `simulate`
    ((0, 3, 18, 36, 48, 49, 55), {"seed": 0}),  # well, CAD + RBBB, DM, LBBB, AF, DCM, infarct
    ((3, 2**40), {"seed": 7, "coupling": 0.3, "ecg_noise": 0.5}),
)
TOLERANCE = 1e-4  # of the largest value of a row of the summary; far above any rounding
PIXELS = 3.0  # that rounding may move from one class to another


def simulations() -> list:
    """The simulations of CASES."""
    return [data_synth.simulate(subjects, **options) for subjects, options in CASES]


def summary(results: list) -> dict[str, list[float]]:
    """Name -> numbers that any change of the output moves, to six significant digits."""
    table: dict[str, list[float]] = {}
    for case, result in enumerate(results):
        for row in range(len(result.labels)):
            title = f"case {case} row {row} "
            for name in ("ecg", "cmr"):
                table[title + name] = _moments(getattr(result, name)[row])
            classes = result.segmentation[row]
            table[title + "segmentation"] = [float((classes[t] == k).sum()) for t in range(3)
                                             for k in range(4)]
            table[title + "phenotypes"] = result.phenotypes[row].tolist()
            table[title + "labels"] = result.labels[row].tolist()
            for name, column in result.latents.items():
                table[f"{title}latent {name}"] = [float(column[row])]
    return {name: [float(f"{x:.6g}") for x in values] for name, values in table.items()}


def _moments(x: np.ndarray) -> list[float]:
    """RMS and four projections on fixed waves of each lead or frame, which see order and place."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    place = np.arange(flat.shape[1])
    waves = np.stack([np.cos(place * f + f) for f in (0.0007, 0.0131, 0.157, 1.1)])
    return np.concatenate([np.sqrt((flat**2).mean(axis=1)),
                           (flat @ waves.T).ravel() / np.sqrt(flat.shape[1])]).tolist()


def digest(results: list) -> str:
    """SHA-256 over the bytes of every array."""
    total = hashlib.sha256()
    for result in results:
        for array in (*result[:-1], *result.latents.values()):
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def machine() -> str:
    """What decides the last bit of a floating-point result, as twelve hexadecimal digits."""
    modes = np.show_config(mode="dicts") or {}
    facts = [np.__version__, platform.machine(), platform.libc_ver(),
             modes.get("SIMD Extensions"), modes.get("Build Dependencies", {}).get("blas")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def differences(got: dict[str, list[float]], want: dict[str, list[float]]) -> list[str]:
    """Which rows of two summaries differ by more than rounding."""
    faults = [f"{name} is in one only" for name in sorted(set(got) ^ set(want))]
    for name in sorted(set(got) & set(want)):
        a, b = np.array(got[name]), np.array(want[name])
        allowed = PIXELS if name.endswith("segmentation") else TOLERANCE * np.abs(b).max(initial=0)
        if a.shape != b.shape or not np.all(np.abs(a - b) <= allowed):  # NaN compares false
            faults.append(f"{name}: {_short(a)}, but was {_short(b)}")
    return faults


def changes(version: str, stored: dict, results: list) -> list[str]:
    """Reasons why the output is not what is stored for this VERSION; empty = it is.

    Args:
        version: of the generator.
        stored: contents of the golden file: version -> {"summary", "bytes": machine -> digest}.
        results: of `simulations`.
    """
    if version not in stored:
        return [f"nothing is stored for VERSION {version}: run "
                "`python -m tests.support.synth_checksum`"]
    entry = stored[version]
    faults = differences(summary(results), entry["summary"])
    known = entry["bytes"].get(machine())
    if not faults and known is not None and known != digest(results):
        faults = [f"bytes are {digest(results)[:12]}..., but were {known[:12]}... on this machine"]
    return [f"output changed: raise VERSION (is {version}): {fault}" for fault in faults]


def _short(array: np.ndarray) -> str:
    return np.array2string(array, threshold=6, edgeitems=2, precision=6)


def main() -> int:
    """Add this VERSION and this machine to the golden file."""
    results = simulations()
    stored = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    faults = changes(data_synth.VERSION, stored, results) if data_synth.VERSION in stored else []
    if faults:
        print("\n".join(faults[:5]), file=sys.stderr)
        return 1
    entry = stored.setdefault(data_synth.VERSION, {"summary": summary(results), "bytes": {}})
    entry["bytes"][machine()] = digest(results)
    for version in stored.keys() - {data_synth.VERSION}:  # a number once used is not used again
        stored[version]["summary"] = {}
    lines = json.dumps(stored, indent=1).replace("\n    ", " ").replace("\n   ]", "]")
    GOLDEN.write_text(lines + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
