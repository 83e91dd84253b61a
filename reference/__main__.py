"""Command line: `python -m reference COMMAND --help` explains each command.

    run          cohort -> clean -> stage 1 -> stage 2 -> probes -> report
    train        one stage on any cohort
    probe        linear probes on the frozen features of a trained run
    embed        features and embeddings of a cohort as one .npz
    localise     similarity maps of one subject
    reconstruct  mask and reconstruct one real record
    check        validate a cohort directory
    import       build a cohort from tensor or array files
    verify       hold a port, or this library, against the golden vectors
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys
from pathlib import Path
from typing import NoReturn

from reference.presets import PRESETS

COMMANDS = {  # what does it; imported when it runs, so that --help and refusals are immediate
    "run": "reference.experiment.commands:run", "train": "reference.experiment.commands:train",
    "probe": "reference.experiment.commands:probe", "embed": "reference.experiment.commands:embed",
    "localise": "reference.experiment.commands:localise",
    "reconstruct": "reference.experiment.commands:reconstruct",
    "check": "reference.cohort.command:check", "import": "reference.cohort.command:import_",
    "verify": "reference.conformance.command:verify"}


def positive(text: str) -> int:
    """argparse type: an integer of at least 1; ArgumentTypeError for other text."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def natural(text: str) -> int:
    """argparse type: an integer of at least 0; ArgumentTypeError for other text."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


class Parser(argparse.ArgumentParser):
    """Parser that refuses with one line and exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit."""
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(prog="python -m reference", description=__doc__,
                 formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                  parser_class=Parser)
    _add_run(commands)
    _add_train(commands)
    _add_reading(commands)
    _add_cohort(commands)
    _add_verify(commands)
    return top


def _add_run(commands) -> None:
    p = commands.add_parser("run", help="the main job, end to end", description=(
        "Generate a synthetic cohort (or take one), clean it, train the five arms, compare them "
        "and write OUT/report.json, OUT/report.md and, with matplotlib, OUT/figures/*.png."))
    p.add_argument("--preset", choices=sorted(PRESETS), default="quick",
                   help="size of the job (default quick: 10-15 minutes on 2 CPU cores)")
    p.add_argument("--out", type=Path, help="directory of the job (default runs/PRESET-SEED)")
    p.add_argument("--cohort", type=Path, help="existing cohort (default: generate one in OUT)")
    p.add_argument("--subjects", type=positive, help="subjects to generate (default: the preset's)")
    p.add_argument("--ecg-noise", type=float, help="noise of the generated world (default: the "
                                                   "preset's; 1 is realistic, below is clearer)")
    _common(p)


def _add_train(commands) -> None:
    p = commands.add_parser("train", help="one stage on any cohort", description=(
        "Train one stage and write RUN/last.pt (final) and RUN/best.pt (best validation score)."))
    p.add_argument("stage", choices=("mdm", "mmcl", "finetune", "supervised"),
                   help="mdm: masked data modelling; mmcl: alignment with CMR; finetune: labels, "
                        "from --from; supervised: labels, from random weights")
    p.add_argument("--cohort", type=Path, required=True, help="cohort directory")
    p.add_argument("--out", type=Path, required=True, metavar="RUN", help="directory of this run")
    p.add_argument("--from", dest="source", type=Path, metavar="RUN",
                   help="run of an earlier stage to start from")
    p.add_argument("--preset", choices=sorted(PRESETS), default="quick", help="(default quick)")
    _common(p)


def _add_reading(commands) -> None:
    p = commands.add_parser("probe", help="linear probes of a run", description=(
        "Fit ridge and logistic probes on the frozen features of the training split and print R2 "
        "per phenotype group and AUROC per risk on the test split."))
    _on_cohort(p)
    p.add_argument("--encoder", choices=("ecg", "cmr"), default="ecg", help="(default ecg)")
    p = commands.add_parser("embed", help="features of a cohort", description=(
        "Write ECG features [N, D], CMR features and both projected embeddings as one .npz."))
    _on_cohort(p)
    p.add_argument("--out", type=Path, required=True, help=".npz file to write")
    p = commands.add_parser("localise", help="similarity maps of one subject", description=(
        "Where the ECG and the CMR of one subject agree: writes the maps as .npz and a picture."))
    _on_cohort(p)
    p.add_argument("--subject", type=natural, required=True, help="subject number")
    p.add_argument("--out", type=Path, required=True, help=".npz or .png file to write")
    p = commands.add_parser("reconstruct", help="mask and reconstruct one record", description=(
        "Resample a 12-lead record to 500 Hz, clean it, hide 80 % of the patches, reconstruct them "
        "with a trained model, print the correlation (NCC) per lead and save the picture."))
    p.add_argument("record", type=Path, help=".npz, .npy (with --rate) or WFDB header (.hea)")
    p.add_argument("--run", type=Path, required=True, help="finished main job, or run of mdm")
    p.add_argument("--rate", type=float, help="sampling rate in Hz, where the file has none")
    p.add_argument("--start", type=float, default=0.0, help="start of the window in s (default 0)")
    p.add_argument("--out", type=Path, help="PNG to write (default beside the run)")
    p.add_argument("--seed", type=natural, default=0, help="of the mask (default 0)")


def _add_cohort(commands) -> None:
    p = commands.add_parser("check", help="validate a cohort", description=(
        "Check names, shapes, types, hashes, splits and values of a cohort directory. Every fault "
        "is printed on a line of its own; the exit status is 1 if there is any, else 0."))
    p.add_argument("directory", type=Path, help="cohort directory")
    p = commands.add_parser("import", help="build a cohort from files", description=(
        "Build a cohort directory from .pt, .npy or .npz files of paired records. Files that would "
        "run code when opened are refused."))
    p.add_argument("--out", type=Path, required=True, help="cohort directory to make")
    p.add_argument("--ecg", type=Path, required=True, help="[N, 12, 5000] mV at 500 Hz, or a list")
    p.add_argument("--cmr", type=Path, required=True, help="[N, 3, 210, 210], ED, mid, ES")
    p.add_argument("--phenotypes", type=Path, help="[N, 61], NaN = missing")
    p.add_argument("--labels", type=Path, help="[N, 3]: CAD, AF, DM")
    p.add_argument("--label-mask", type=Path, help="1 = observed, shape of the labels")
    p.add_argument("--subjects", type=Path, help="[N] subject numbers (default 0, 1, ...)")


def _add_verify(commands) -> None:
    p = commands.add_parser("verify", help="check a port", description=(
        "Hold a port against the golden vectors: its functions (--adapter), its files (--export, "
        "then --import), or this library itself. Prints a table of components (worst is the "
        "largest difference as a share of what is allowed), then the first tensor of each failing "
        "case that differs. The exit status is 0 if all that is implemented passes, 1 if anything "
        "fails or nothing is implemented, 2 for bad input. See reference/conformance/PORTING.md."))
    who = p.add_mutually_exclusive_group()
    who.add_argument("--adapter", type=Path, metavar="FILE", help="Python file with functions "
                     "COMPONENT(case, dtype) -> {tensor name: array}")
    who.add_argument("--export", type=Path, metavar="DIR",
                     help="write what a port starts from as .npy files into a new directory")
    who.add_argument("--import", dest="results", type=Path, metavar="DIR",
                     help="read a port's results from .npy files in such a directory")
    who.add_argument("--list", action="store_true",
                     help="print configuration, given arrays and results of the cases")
    p.add_argument("--only", default="", metavar="NAME,...",
                   help="groups, components or cases; * stands for anything (default all)")
    p.add_argument("--level", choices=("forward", "loss", "gradient", "steps"),
                   help="up to which results are compared (default steps: all)")
    p.add_argument("--dtype", choices=("float32", "float64", "both"), help="precision of the port "
                   "(default float32; for this library itself both)")
    p.add_argument("--vectors", type=Path, metavar="DIR",
                   help="golden vectors (default those of the package)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the report as a file, too")


def _common(p) -> None:
    p.add_argument("--seed", type=natural, default=0, help="of everything random (default 0)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    p.add_argument("--workers", type=positive, default=os.cpu_count() or 1,
                   help="processes for generating and cleaning (default: all cores)")


def _on_cohort(p) -> None:
    p.add_argument("--cohort", type=Path, required=True, help="cohort directory")
    p.add_argument("--run", type=Path, required=True, help="trained run, or finished main job")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    p.add_argument("--workers", type=positive, default=os.cpu_count() or 1,
                   help="processes for cleaning (default: all cores)")


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; default those of the process.
    Returns:
        Exit status: 0 done, 1 a cohort or port with faults, 2 bad input, 130 interrupted.
    """
    options = parser().parse_args(arguments)
    try:
        return pkgutil.resolve_name(COMMANDS[options.command])(options)
    except KeyboardInterrupt:
        print(f"{options.command}: interrupted; what was reached is saved", file=sys.stderr)
        return 130
    except (ValueError, OSError, ModuleNotFoundError, FloatingPointError) as error:
        print(f"{options.command}: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
