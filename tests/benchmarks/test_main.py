"""The commands that print finished runs, from any directory."""

from __future__ import annotations

import sys

import pytest

from benchmarks.__main__ import KEPT, document, main
from tests.support.benchmarking import FOLDER, python, row, saved, sized, step
from tests.support.helpers import ROOT, assert_equal


def test_report_and_compare_commands(tmp_path, capsys):
    a = saved(tmp_path / "a", row("p", 1.5e-3), row("q", 2e-6, implementation="scipy"),
              row("r", 12.0, flops=0))
    b = saved(tmp_path / "b", row("p", 1.5e-3))
    assert main(["report", a]) == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("|")]
    assert_equal("rows", len(lines), 5)
    assert len({line.count("|") for line in lines}) == 1 and len({len(x) for x in lines}) == 1
    for text, line in (("1.5 ms", lines[2]), ("q (scipy)", lines[3]), ("2 us", lines[3]),
                       ("12 s", lines[4]), ("42", lines[4])):
        assert text in line, (text, line)
    assert main(["compare", f"{a},{a}", b]) == 0
    capsys.readouterr()
    assert main(["compare", a, b]) == 0
    printed = capsys.readouterr().out
    assert "| same" in printed and f"Only in {a}: q scipy" in printed
    assert "base % | other % |" in printed, printed


def test_commands_refuse_what_they_cannot_read(tmp_path, capsys):
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.write_text('{"benchmarks": []}')
    other.write_text("[1]")
    for path, why in ((empty, "no timed row"), (other, "not a file"),
                      (tmp_path / "absent", "not a file")):
        assert_equal("status", main(["report", str(path)]), 2)
        error = capsys.readouterr().err
        assert why in error and error.count("\n") == 1, error
    assert_equal("status", main(["compare", "--tolerance", "-1", str(empty), str(empty)]), 2)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("results/*.json")), ids=lambda p: p.stem)
def test_the_table_of_a_kept_run_is_what_the_command_writes(path):
    table = path.with_suffix(".md")
    text = table.read_text(encoding="utf-8")
    assert text == document(path, table), text.partition("\n")[0]
    assert_equal("again, by name", document(path.name, table) == text, True)


def test_report_writes_a_document(tmp_path, capsys):
    a, out = saved(tmp_path / "a.json", row("p", 1.5e-3)), tmp_path / "a.md"
    out.write_text("old")
    assert_equal("status", main(["report", a, "--out", str(out)]), 0)
    assert_equal("printed", capsys.readouterr().out, f"{out}\n")
    command, _, header, *_, last = out.read_text().splitlines()
    assert_equal("command", command, "`python -m benchmarks report a.json --out a.md`")
    assert header.startswith("a.json: card, ") and "1.5 ms" in last
    assert str(tmp_path) not in out.read_text()
    assert_equal("status", main(["report", a, "--out", str(tmp_path / "absent" / "a.md")]), 2)
    error = capsys.readouterr().err
    assert "absent" in error and error.count("\n") == 1, error


def test_figures_command(tmp_path, capsys, monkeypatch):
    a = saved(tmp_path / "a", sized("B64", 1.0), sized("B256", 2.0))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert_equal("status", main(["report", a, "--figures", str(tmp_path / "f")]), 2)
    error = capsys.readouterr().err
    assert "pip install matplotlib" in error and error.count("\n") == 1, error
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    assert_equal("status", main(["report", a, "--figures", str(tmp_path / "f")]), 0)
    table, *names = capsys.readouterr().out.rsplit("\n", 3)[:3]
    assert "| clip" in table
    assert_equal("files", names, [str(tmp_path / "f" / name) for name in
                                  ("roofline.png", "scaling-clip.png")])


def test_project_command(tmp_path, capsys):
    a = saved(tmp_path / "a", step("mdm_step", "B64", 30e-3))
    assert_equal("status", main(["project", a]), 0)
    line = capsys.readouterr().out.splitlines()[-1]
    for text in ("MDM", "| 87200", "| 87.2 min", "| 43.6 min", "| 2.00", "scaled from B 64 to 128"):
        assert text in line, (text, line)
    assert_equal("status", main(["project", saved(tmp_path / "b", row("als", 1.0))]), 2)
    error = capsys.readouterr().err
    assert "no timed step" in error and error.count("\n") == 1, error


def test_commands_work_from_an_empty_directory(tmp_path):
    """As after an install: nothing of a checkout around, no folder of it above."""
    for name in ("benchmarks", "reference"):
        (tmp_path / "site" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "site" / name).symlink_to(ROOT / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "hiding.py").write_text("import sys\nsys.modules['torch'] = None\n"
                                        "import runpy\nrunpy.run_module('benchmarks', "
                                        "run_name='__main__')\n")
    for command, text in (("--help", "pytest --pyargs benchmarks"), ("report", "| als (scipy)"),
                          ("project", "scaled from B 128 to 40044"),
                          (f"compare {KEPT} {KEPT}", "| same")):
        done = python(str(tmp_path / "hiding.py"), *command.split(), at=tmp_path / "empty",
                      PYTHONPATH=str(tmp_path / "site"))
        assert text in done.stdout and not done.returncode, (command, done.stdout + done.stderr)
    assert not list((tmp_path / "empty").iterdir())
