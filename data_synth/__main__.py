"""Command line: `python -m data_synth --subjects N --out DIR` writes a synthetic cohort;
`python -m data_synth report` compares subjects with published ranges, `audit` looks for shortcuts.

Exit status: 0 written, 2 bad value, 1 any other failure, 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from data_synth import write_cohort
from data_synth.command import Parser, Progress
from data_synth.selection import enriched_subjects
from data_synth.simulation import check_arguments
from reference.cohort import DRAFT

try:
    import resource
except ModuleNotFoundError:  # not a POSIX system: peak memory is not told
    resource = None  # type: ignore[assignment]

MAX_SUBJECTS = 10_000_000  # 9 TB
_COMMANDS = {  # imported when asked
    "report": "data_synth.realism.report", "audit": "data_synth.audit.report"}


def parser() -> Parser:
    """The command's arguments."""
    command = Parser(prog="python -m data_synth", description=(
        "Simulate subjects with a paired 12-lead ECG and short-axis cine CMR, 61 phenotypes and "
        "three diagnoses, and write them as a cohort that `python -m reference` reads. A subject "
        "needs 0.9 MB, or 0.4 MB with uint8 images and a float16 ECG."))
    add = command.add_argument
    add("--subjects", type=int, required=True, metavar="N",
        help=f"how many subjects, 1..{MAX_SUBJECTS:,}")
    add("--out", required=True, metavar="DIR", help=(
        "new or empty directory to write to; one that a stopped run of the same options left is "
        "continued, to the same bytes"))
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
        help="how the ECG is stored (default float32); float16 is off by at most 0.05 %% of the "
             "value: 0.5 uV at 1 mV")
    add("--cmr-dtype", choices=("float32", "float16", "uint8"), default="float32",
        help="how the image is stored (default float32); uint8 is off by at most 1/510 of the "
             "range, float16 by 1/4096")
    add("--no-segmentation", action="store_true", help="do not write the segmentations")
    return command


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: words of the command line; None takes the process's own.
    Returns:
        Exit status.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and words[0] in _COMMANDS:
        return importlib.import_module(_COMMANDS[words[0]]).main(words[1:])
    command = parser()
    options = command.parse_args(words)
    if not 1 <= options.subjects <= MAX_SUBJECTS:
        command.error(f"--subjects={options.subjects}, but should be in 1..{MAX_SUBJECTS:,}")
    begin = time.monotonic()
    try:
        check_arguments([options.first_subject], options.seed, options.coupling, options.ecg_noise,
                        label_noise=options.label_noise)
        subjects = enriched_subjects(options.subjects, options.seed, options.enrich,
                                     options.first_subject)
        write_cohort(
            options.out, subjects, options.seed, enrich=options.enrich, coupling=options.coupling,
            ecg_noise=options.ecg_noise, label_noise=options.label_noise, workers=options.workers,
            ecg_dtype=options.ecg_dtype, cmr_dtype=options.cmr_dtype,
            segmentation=not options.no_segmentation, progress=Progress(sys.stderr))
    except (TypeError, ValueError) as error:
        command.error(str(error))
    except KeyboardInterrupt:
        return _fail(command.prog, "interrupted" + _continue(options.out), 130)
    except (OSError, BrokenProcessPool) as error:
        return _fail(command.prog, _plain(error) + _continue(options.out), 1)
    seconds = time.monotonic() - begin
    print(f"wrote {options.subjects:,} subjects to {options.out} in {seconds:.1f} s, "
          f"{60 * options.subjects / seconds:,.0f} a minute{_peak_memory(options.workers)}")
    return 0


def _peak_memory(workers: int) -> str:
    """Upper bound of the resident memory of all processes together, where the system tells."""
    if resource is None:
        return ""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, else in kB
    own, child = (resource.getrusage(who).ru_maxrss / unit
                  for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    processes = workers if workers > 1 else 0
    return f", at most {own + processes * child:,.0f} MiB of memory"


def _plain(error: Exception) -> str:
    """What went wrong and where, on one line."""
    reason, place = getattr(error, "strerror", None), getattr(error, "filename", None)
    text = " ".join(str(reason or error).split()) or type(error).__name__
    return f"{place}: {text}" if reason and place else text


def _continue(directory: str) -> str:
    """What to do about an unfinished directory, if there is one."""
    if not (Path(directory) / DRAFT).is_file():
        return ""
    return f"; the same command continues {directory}, which is unfinished and no cohort yet"


def _fail(program: str, message: str, status: int) -> int:
    print(f"{program}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
