"""Tables of finished runs: `python -m benchmarks report`, `compare` and `project`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import projection
from benchmarks.harness.tables import TOLERANCE, Run, comparison, header, merged, page, read
from reference.atomic import write_text

RESULTS = Path(__file__).with_name("results")  # runs that come with the suite
KEPT = "cpu-epyc-1-thread.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the asked table; exit status 2 for a file or number that cannot be used."""
    args = _parser().parse_args(arguments)
    try:
        print(_answer(args))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def document(file: str | Path, out: str | Path) -> str:
    """What `report FILE --out OUT` writes: this command, header and table.

    Args:
        file: JSON of a run, as a path or as the name of one that comes with the suite.
        out: where it is going to be.
    Returns:
        Markdown; the command has no folders, or those of the suite where both files are there.
    Raises:
        ValueError: the file cannot be read.
    """
    file, out = _found(file), Path(out)
    own = {path.resolve().parent for path in (file, out)} == {RESULTS.resolve()}
    file_shown, out_shown = (f"benchmarks/results/{path.name}" if own else path.name
                             for path in (file, out))
    return (f"`python -m benchmarks report {file_shown} --out {out_shown}`\n\n"
            f"{page(read(file)._replace(path=file.name))}\n")


def _answer(args: argparse.Namespace) -> str:
    """What a command prints."""
    if args.command == "project":
        run = _side(args.file)
        return f"{header(run)}\n\n{projection.table(run)}"
    if args.command == "compare":
        if not 0 <= args.tolerance < math.inf:
            raise ValueError(f"--tolerance {args.tolerance}; a number >= 0 is needed")
        base = _side(args.base)
        return "\n\n".join(comparison(base, _side(names), args.tolerance) for names in args.others)
    run, text = _run(args.file), args.out
    if args.out:
        write_text(args.out, document(args.file, args.out))
    else:
        text = page(run)
    if args.figures:
        from benchmarks.harness import figures  # which needs torch

        text = "\n".join([text, *map(str, figures.draw(run, Path(args.figures)))])
    return text


def _side(names: str) -> Run:
    return merged([_run(name) for name in names.split(",")])


def _run(name: str) -> Run:
    return read(_found(name))._replace(path=name)


def _found(name: str | Path) -> Path:
    """A path as it is, or beside this package, if it is only there."""
    return Path(name) if Path(name).exists() or not (RESULTS / name).exists() else RESULTS / name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Tables of runs, which are made with\n\n"
        "    python -m pytest benchmarks --benchmark-json A.json             in a checkout\n"
        "    python -m pytest --pyargs benchmarks --benchmark-json A.json    anywhere\n\n"
        f"Every A.json may be a path or the name of a kept run: {KEPT}")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("report", help="Markdown table of one run")
    one.add_argument("--out", metavar="A.md", help="write it there, below this command, instead")
    one.add_argument("--figures", metavar="DIR", help="also draw roofline and scaling plots there "
                     "(needs matplotlib)")
    three = commands.add_parser("project", help="run times of the paper's stages, from steps")
    for each in (one, three):
        each.add_argument("file", nargs="?", default=KEPT, metavar="A.json",
                          help="a run (default %(default)s)")
    two = commands.add_parser("compare", help="ratio and verdict, row by row")
    two.add_argument("base", metavar="A.json", help="the run that others are held against; "
                     "repeated runs separated by commas")
    two.add_argument("others", metavar="B.json", nargs="+", help="the same of a later commit, or "
                     "of another card")
    two.add_argument("--tolerance", type=float, default=TOLERANCE,
                     help="relative difference that counts as none (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
