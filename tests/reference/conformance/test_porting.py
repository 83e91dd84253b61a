"""PORTING.md says what is so: traps, names, commands, the worked port and its output."""

from __future__ import annotations

import re
import shlex

import pytest

from reference.__main__ import main
from reference.conformance import adapters, runner
from reference.conformance.builtin import COMPONENTS
from reference.encoders import CMREncoder, ECGEncoder
from reference.masked_modelling import MaskedAutoencoder
from tests.faults import FAULTS
from tests.faults.planting import planted
from tests.support.helpers import ROOT

TEXT = (ROOT / "reference" / "conformance" / "PORTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUILTIN = COMPONENTS
CASES = {case.name: case for case in runner.read_vectors()}


def block(name: str, text: str = TEXT) -> str:
    """Code block behind the marker of that name."""
    behind = text.split(f"<!-- test: {name} -->\n", 1)[1]
    return re.match(r"```\w*\n(.*?)```", behind, re.DOTALL).group(1)


def rows(first_cell: str) -> list[list[str]]:
    """Cells of the table whose head begins so."""
    lines = TEXT.split(f"| {first_cell} |", 1)[1].splitlines()[2:]
    table = lines[:next(i for i, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


TRAPS = rows("trap")


@pytest.mark.parametrize("cells", TRAPS, ids=[f"{cells[2]} {cells[4]}" for cells in TRAPS])
def test_every_trap_is_shown_by_its_vector(cells):
    _, _, name, tensor, mistake = (cell.strip("`| ") for cell in cells)
    fault = next(fault for fault in FAULTS if fault.name == mistake)
    case = CASES[name]
    with planted(fault):
        outcome = runner.check_case(case, BUILTIN[case.component], "float32", "steps")
    assert (outcome.component, outcome.first) == (fault.component, tensor)


def test_the_traps_are_many_and_different():
    assert len(TRAPS) >= 60
    assert len({tuple(cells) for cells in TRAPS}) == len(TRAPS)


def test_the_readme_counts_components_and_faults():
    assert f"what {len(BUILTIN)} components make of them" in README
    assert f"tested with {len(FAULTS)} of them" in README


def test_the_order_of_work_is_that_of_the_runner():
    assert [cells[0].strip("`") for cells in rows("group")] == list(adapters.GROUPS)
    for cells in rows("group"):
        for file in re.findall(r"`(\w+\.py)`", cells[2]):
            assert (ROOT / "reference" / file).is_file()


def test_the_parameter_names_exist():
    size = {"input_size": (1, 2, 200), "dim": 8, "depth": 1, "heads": 1}
    decoder = {"decoder_dim": 4, "decoder_depth": 1, "decoder_heads": 1}
    modules = (ECGEncoder(**size, pooling="attention", outputs=2),
               ECGEncoder(**size, pooling="cls"),
               MaskedAutoencoder(**size, **decoder, consistency=True), CMREncoder("resnet50"))
    there = {name for module in modules for name in module.state_dict()}
    written = []
    for cells in rows("name"):
        names = re.findall(r"`([\w.]+)`", cells[0])
        stem = names[0].rsplit(".", 1)[0]
        written += [stem + name if name.startswith(".") else name for name in names]
    assert len(written) > 40 and set(written) <= there


@pytest.mark.parametrize("text", [TEXT, README], ids=["PORTING.md", "README.md"])
def test_the_commands_run(text, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    commands = [shlex.split(line, comments=True) for line in block("commands", text).splitlines()]
    assert [words[0].rsplit("/")[-1] for words in commands] == ["python"] * 3
    assert commands[0][1:] == ["-m", "reference", "verify"]  # which is a test of its own
    for words in commands[1:]:
        assert words[1:4] == ["-m", "reference", "verify"] and main(words[3:]) == 0


def test_the_worked_port_prints_what_is_said(monkeypatch, capsys):
    length = len((ROOT / "tests" / "ports" / "numpy_port.py").read_text().splitlines())
    assert f"adapter included, are {length} lines" in TEXT
    monkeypatch.chdir(ROOT)
    assert main(["verify", "--adapter", "tests/ports/numpy_port.py", "--only",
                 "masking,clip_loss"]) == 0
    without_worst = re.compile(r"\S+(?=  pass$)", re.MULTILINE)  # the last digit is the machine's
    printed, written = capsys.readouterr().out, block("output")
    assert without_worst.sub("", printed).strip() == without_worst.sub("", written).strip()
