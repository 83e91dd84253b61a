"""The declared graph: its own consistency, its queries, its drawings, and the code beside it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from data_synth.audit import graph
from data_synth.audit.graph import EDGES, NODES, OUTPUTS, PRIVATE, SOURCES, Edge, Private
from data_synth.ecg.features import PRIVATE_SD, Features
from data_synth.heart import physiology
from data_synth.latents import LATENT_INFO, LATENTS
from data_synth.streams import STREAMS
from tests.support.helpers import ROOT, assert_equal


def walk(node: str, step: dict[str, set[str]]) -> set[str]:
    """Everything reached from a node, by repeating one step until nothing is new."""
    reached, size = set(step.get(node, ())), -1
    while size != len(reached):
        size = len(reached)
        for name in list(reached):
            reached |= step.get(name, set())
    return reached


def steps(forward: bool) -> dict[str, set[str]]:
    table: dict[str, set[str]] = {}
    for edge in EDGES:
        start, end = (edge.cause, edge.effect) if forward else (edge.effect, edge.cause)
        table.setdefault(start, set()).add(end)
    return table


def test_faults_none():
    assert_equal("faults", graph.faults(), [])


@pytest.mark.parametrize("edge, words", [
    (Edge("lvef", "age", 1, "own"), "causes itself"),
    (Edge("age", "sbp", 1, "own"), "declared twice"),
    (Edge("age", "rvef", 1, "hearsay"), "has source 'hearsay'")])
def test_faults_found(monkeypatch, edge, words):
    monkeypatch.setattr(graph, "EDGES", (*EDGES, edge))
    assert any(words in fault for fault in graph.faults()), graph.faults()


@pytest.mark.parametrize("private, words", [
    (Private("smell", "nose", ()), "has stream 'nose'"),
    (Private("smell", "ecg", ("ecg:odour",)), "unknown ecg:odour")])
def test_faults_private(monkeypatch, private, words):
    monkeypatch.setattr(graph, "PRIVATE", (*PRIVATE, private))
    assert any(words in fault for fault in graph.faults()), graph.faults()


def test_nodes_are_those_of_the_code():
    """Every latent of a cohort and every feature of the ECG has its place in the graph."""
    shared = {row.name for row in LATENT_INFO if row.stream in ("physiology", "derived")}
    assert shared <= set(NODES)
    names = [private.name for private in PRIVATE]
    assert_equal("private names", len(set(names)), len(names))
    assert set(LATENTS) <= set(NODES) | set(names)
    assert_equal("features", {f"ecg:{field.name}" for field in fields(Features)},
                 set(graph.ECG) - {"ecg:recording"})
    assert set(physiology.DEMOGRAPHICS) == set(graph.DEMOGRAPHICS)
    assert {private.name for private in PRIVATE if private.stream == "ecg"} >= set(PRIVATE_SD)
    assert {private.stream for private in PRIVATE} == set(STREAMS)
    assert {edge.sign for edge in EDGES} == {-1, 0, 1}
    assert {edge.source for edge in EDGES} <= set(SOURCES)


@pytest.mark.parametrize("node", NODES)
def test_relatives(node):
    assert_equal("parents", graph.parents(node), steps(False).get(node, set()))
    assert_equal("children", graph.children(node), steps(True).get(node, set()))
    assert_equal("ancestors", graph.ancestors(node), walk(node, steps(False)))
    assert_equal("descendants", graph.descendants(node), walk(node, steps(True)))
    assert_equal("may_move", graph.may_move(node), walk(node, steps(True)) & set(OUTPUTS))


def test_may_move_examples():
    assert_equal("rbbb", graph.may_move("rbbb"), {"ecg:right_block", "ecg:qrs", "ecg:qtc"})
    assert_equal("log_voltage", graph.may_move("log_voltage"), {"ecg:gain"})
    assert_equal("axis", graph.may_move("axis"), {"ecg:axis", "ecg:t_axis"})
    assert "image:chest" in graph.may_move("male") and "image:chest" not in graph.may_move("age")
    moved = graph.may_move("contractility of the right ventricle")
    assert "phenotype:RV" in moved and "phenotype:LV" not in moved
    assert_equal("right ventricle", moved,
                 graph.may_move("rv_sv_ratio") | graph.may_move("rv_ef_target"))
    assert graph.may_move("regional thickness") >= {"phenotype:WT", "image:heart", "ecg:gain"}


def test_modalities_share_no_private_latent():
    """The two nuisance streams reach disjoint outputs, each in its own modality."""
    for private in PRIVATE:
        if private.stream in ("ecg", "cmr"):
            kind = {"ecg": "ecg", "cmr": "image"}[private.stream]
            assert {name.split(":")[0] for name in graph.may_move(private.name)} == {kind}


@pytest.mark.parametrize("call", [graph.parents, graph.children, graph.ancestors, graph.may_move])
def test_unknown(call):
    with pytest.raises(ValueError, match=r"'soul'.*should be one of.*age"):
        call("soul")


def test_stream_of():
    assert_equal("roundness", graph.stream_of("roundness"), "anatomy")
    assert_equal("trabeculae", graph.stream_of("trabeculae"), "cmr")
    with pytest.raises(ValueError, match=r"private='soul'.*should be one of"):
        graph.stream_of("soul")


def test_grouped():
    merged = graph.grouped()
    pairs = [(cause, effect) for cause, effect, _ in merged]
    assert_equal("doubles", len(set(pairs)), len(pairs))
    assert ("lvm", "ecg:voltage", 1) in merged and ("lvm", "ecg:T", 0) in merged
    assert ("rbbb", "ecg:QRS", 1) in merged
    assert not any(cause == effect for cause, effect in pairs)


def test_overview():
    boxes = graph.overview()
    assert ("demographics", "diseases", 1) in boxes and ("heart latents", "anatomy", 0) in boxes
    assert not any("image" in effect and cause.startswith("ecg") for cause, effect, _ in boxes)
    named = {name for cause, effect, _ in boxes for name in (cause, effect)}
    assert not named & (set(NODES) - {"ecg:axis"}), named & set(NODES)


def test_document():
    """The drawing, every edge, every source; the prose beside it counts the same graph."""
    text = graph.document()
    assert text.startswith("```mermaid\nflowchart LR\n")
    assert graph.mermaid(graph.overview()) in text and graph.table() in text
    assert all(f"- {name}: {source}\n" in text for name, source in SOURCES.items())
    prose = " ".join((ROOT / "data_synth" / "audit" / "README.md").read_text("utf-8").split())
    assert f"{len(EDGES)} edges, {len(NODES)} nodes, {len(PRIVATE)} private latents" in prose


def test_drawings():
    edges = [("age", "sbp", 1), ("male", "ecg:axis", -1), ("bmi", "image:chest", 0)]
    assert_equal("mermaid", graph.mermaid(edges), (
        "flowchart LR\n  age[age] --> sbp[sbp]\n  male[male] -.-> ecg_axis[ecg:axis]\n"
        "  bmi[bmi] ==> image_chest[image:chest]\n"))
    assert_equal("lines", len(graph.mermaid().splitlines()), 1 + len(graph.grouped()))


def test_table():
    rows = graph.table().splitlines()
    assert_equal("rows", len(rows), 2 + len(EDGES))
    assert "| bmi | ecg:axis | - | axis |" in rows
    assert "| age | sbp | + | anthropometry |" in rows
    assert "| scar_territory | ecg:territory | 0 | infarct |" in rows
