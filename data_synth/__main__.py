"""Command line: `python -m data_synth --subjects N --out DIR` writes a synthetic cohort.

Exit status: 0 written, 2 bad value, 1 any other failure, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures.process import BrokenProcessPool

from data_synth import write_cohort
from data_synth.selection import enriched_subjects
from data_synth.simulation import check_arguments


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


class Progress:
    """Writes how far the work is to a stream, at most once a second and once at the end."""

    def __init__(self, stream, clock=time.monotonic):
        self.stream, self.clock = stream, clock
        self.start = self.last = clock()

    def __call__(self, done: int, total: int) -> None:
        now = self.clock()
        if done < total and now - self.last < 1:
            return
        self.last = now
        rate = done / max(now - self.start, 1e-9)
        self.stream.write(f"{done:,} of {total:,} subjects, {rate:.0f} a second, "
                          f"{(total - done) / rate:.0f} s left\n")
        self.stream.flush()


def parser() -> Parser:
    """The command's arguments."""
    command = Parser(prog="python -m data_synth", description=(
        "Simulate subjects with a paired 12-lead ECG and short-axis cine CMR, 61 phenotypes and "
        "three diagnoses, and write them as a cohort that `python -m reference` reads. A subject "
        "needs 0.9 MB, or 0.4 MB with uint8 images and a float16 ECG."))
    add = command.add_argument
    add("--subjects", type=int, required=True, metavar="N", help="how many subjects, at least 1")
    add("--out", required=True, metavar="DIR", help="new or empty directory to write to")
    add("--seed", type=int, default=0, metavar="S", help="seed of the cohort (default 0)")
    add("--first-subject", type=int, default=0, metavar="N",
        help="number of the first subject (default 0); disjoint ranges give disjoint subjects")
    add("--workers", type=int, default=1, metavar="K",
        help="processes (default 1); the result does not depend on it")
    add("--coupling", type=float, default=1.0, metavar="C",
        help="0..1, how much physiology beyond demographics the ECG shows (default 1)")
    add("--ecg-noise", type=float, default=1.0, metavar="X",
        help="factor on what hides physiology in the ECG (default 1, realistic; 0.5, clear)")
    add("--enrich", type=float, default=0.0, metavar="P",
        help="choose subjects so that CAD, AF and DM each reach this share, 0..0.25 (default 0: "
             "everyone, at natural prevalence)")
    add("--label-noise", type=float, default=0.0, metavar="X",
        help="factor on errors of the phenotypes like those of automated phenotyping (default 0, "
             "exact; 1, realistic)")
    add("--ecg-dtype", choices=("float32", "float16"), default="float32",
        help="how the ECG is stored (default float32)")
    add("--cmr-dtype", choices=("float32", "float16", "uint8"), default="float32",
        help="how the image is stored (default float32)")
    add("--no-segmentation", action="store_true", help="do not write the segmentations")
    return command


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: words of the command line; None takes the process's own.
    Returns:
        Exit status.
    """
    command = parser()
    options = command.parse_args(arguments)
    if options.subjects < 1:
        command.error(f"--subjects={options.subjects}, but should be at least 1")
    try:
        check_arguments([options.first_subject], options.seed, options.coupling, options.ecg_noise,
                        label_noise=options.label_noise)
        subjects = enriched_subjects(options.subjects, options.seed, options.enrich,
                                     options.first_subject)
        write_cohort(options.out, subjects, options.seed, enrich=options.enrich,
                     coupling=options.coupling, label_noise=options.label_noise,
                     ecg_noise=options.ecg_noise, workers=options.workers,
                     ecg_dtype=options.ecg_dtype, cmr_dtype=options.cmr_dtype,
                     segmentation=not options.no_segmentation, progress=Progress(sys.stderr))
    except (TypeError, ValueError) as error:
        command.error(str(error))
    except KeyboardInterrupt:
        return _fail(command.prog, f"interrupted; {options.out} is unfinished and can be removed",
                     130)
    except (OSError, BrokenProcessPool) as error:
        return _fail(command.prog, f"{error}; {options.out} is unfinished and can be removed", 1)
    print(f"wrote {options.subjects:,} subjects to {options.out}")
    return 0


def _fail(program: str, message: str, status: int) -> int:
    print(f"{program}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
