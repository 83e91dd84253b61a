"""Tables of finished runs: `python -m benchmarks report`, `compare` and `project`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import figures, projection
from benchmarks.harness.tables import (
    TOLERANCE,
    Run,
    comparison,
    header,
    merged,
    read,
    report,
    with_block,
)
from reference.atomic import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the asked table; exit status 2 for a file or number that cannot be used."""
    args = _parser().parse_args(arguments)
    try:
        if args.command == "report":
            run = read(args.file)
            print(f"{header(run)}\n\n{report(list(run.rows.values()))}")
            if args.readme:
                _rewrite(Path(args.readme), args.file)
            for path in figures.draw(run, Path(args.figures)) if args.figures else ():
                print(path)
            return 0
        if args.command == "project":
            run = _side(args.file)
            print(f"{header(run)}\n\n{projection.table(run)}")
            return 0
        if not 0 <= args.tolerance < math.inf:
            raise ValueError(f"--tolerance {args.tolerance}; a number >= 0 is needed")
        base = _side(args.base)
        print("\n\n".join(comparison(base, _side(paths), args.tolerance) for paths in args.others))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _rewrite(document: Path, path: str) -> None:
    """Put a run's table into a document, which is replaced at once."""
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{document}: {error.strerror}") from error
    write_text(document, with_block(text, path))


def _side(paths: str) -> Run:
    return merged([read(path) for path in paths.split(",")])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Tables of runs made "
                                     "with: python -m pytest benchmarks --benchmark-json A.json")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("report", help="Markdown table of one run")
    one.add_argument("file", help="JSON of a run")
    one.add_argument("--readme", metavar="FILE", help="also put the table into this document, "
                     "between the marks that name the JSON")
    one.add_argument("--figures", metavar="DIR", help="also draw roofline and scaling plots there "
                     "(needs matplotlib)")
    three = commands.add_parser("project", help="run times of the paper's stages, from steps")
    three.add_argument("file", help="JSON of a run; repeated runs separated by commas")
    two = commands.add_parser("compare", help="ratio and verdict, row by row")
    two.add_argument("base", help="JSON of the run that others are held against; "
                     "repeated runs separated by commas")
    two.add_argument("others", nargs="+", help="the same of a later commit, or of another card")
    two.add_argument("--tolerance", type=float, default=TOLERANCE,
                     help="relative difference that counts as none (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
