"""The declared causal graph of the synthetic heart, as data.

    demographics -> diseases -> heart latents -> heart:* -> image:*, phenotype:*
                                       \\-> realised volumes -> ecg:*
    may_move(x) = outputs among the descendants of x

An edge says that its effect is computed from its cause; what is not in `EDGES` must not move. The
audit (`report`) holds the code to it in both directions, and the drawing is made from it. How
strong an edge is, the equations of `physiology`, `geometry` and `features` say.

Glossary: cause, effect, nodes; sign, +1 or -1 for the direction of the effect with all other causes
held, 0 where it has none (a place, a redistribution, a gate); stream, the random stream in which a
private latent lives; output, a node that is seen by a model.
"""

from __future__ import annotations

from typing import NamedTuple

from data_synth.ecg.features import PRIVATE_SD
from data_synth.heart.physiology import DEMOGRAPHICS
from data_synth.latents import LATENT_INFO
from data_synth.streams import STREAMS


class Edge(NamedTuple):
    """One arrow of the graph."""

    cause: str
    effect: str
    sign: int
    source: str  # key of `SOURCES`


class Private(NamedTuple):
    """A latent that only one stream draws, and the outputs it reaches."""

    name: str
    stream: str
    effects: tuple[str, ...]


SOURCES = {
    "anthropometry": "Petersen et al. 2017, 10.1371/journal.pone.0185114, table 1",
    "volumes": "Petersen et al. 2017, 10.1186/s12968-017-0327-9, and 10.1371/journal.pone.0185114",
    "rate": "10.3389/fcvm.2023.1110231",
    "diabetes": "Jensen et al. 2019, PMC7099857; Levelt et al. 2016, Diabetes 65:44",
    "infarct": "10.1136/heartjnl-2016-309890 (Q waves and late enhancement); AHA 17 segments",
    "strain": "MacIver et al. 2017, PMC5497228",
    "block": "PMC4531556; 10.1186/s12968-018-0457-8; Strauss et al. 2011",
    "voltage": "10.1186/1532-429X-11-2 (mass); 10.1111/j.1542-474X.2009.00330.x (body mass)",
    "axis": "Kurisu et al. 2015, 10.1016/j.ijcme.2015.10.006",
    "intervals": "Angelaki et al. 2020, PMC8678829; PMC3825808",
    "atrium": "10.1093/europace/euad014; Alcaraz and Rieta 2008",
    "definition": "definition (Mosteller; ukbb_cardiac of Bai et al. 2020)",
    "own": "own choice",
}

_ECG_GROUPS = {  # group -> fields of `features.Features`
    "rhythm": ("rate", "fibrillation", "diabetes"), "voltage": ("gain", "septum", "base"),
    "axis": ("axis", "turn"), "QRS": ("qrs", "left_block", "right_block"),
    "P": ("pr", "p_duration", "p_height", "p_terminal"),
    "T": ("qtc", "t_gain", "t_axis", "t_turn", "t_width"), "ST": ("strain", "st"),
    "infarct": ("q_wave", "scar_t", "territory"), "recording": ("recording",)}
_ECG_BOX = {f"ecg:{field}": f"ecg:{group}" for group, names in _ECG_GROUPS.items()
            for field in names}
ECG = tuple(_ECG_BOX)
HEART = ("heart:cavity", "heart:wall", "heart:motion", "heart:right")
IMAGE = ("image:mask", "image:heart", "image:chest")
PHENOTYPE = tuple(f"phenotype:{name}" for name in ("LV", "LVCO", "LVM", "RV", "WT", "Ecc", "Err"))
OUTPUTS = (*ECG, *IMAGE, *PHENOTYPE)

_BOXES = {  # box of the overview -> nodes
    "demographics": (*DEMOGRAPHICS, "weight", "bsa"),
    "diseases": ("dm", "cad", "mi", "af", "af_now", "dcm", "scar_size", "scar_territory",
                 "scar_transmurality", "lbbb", "rbbb"),
    "heart latents": ("heart_rate", "size_u", "concentricity_c", "contractility_e",
                      "lvedv_target", "lvm_target", "ef_target", "longitudinal_strain",
                      "rv_sv_ratio", "rv_ef_target"),
    "anatomy": HEART, "image": IMAGE, "phenotypes": PHENOTYPE,
    "realised volumes": ("lvedv", "lvesv", "lvef", "lvm", "rvedv", "rvesv", "rvef", "wt_global")}

_TABLE: dict[str, tuple[str, dict[str, int]]] = {  # effect -> source, sign of each cause
    "height": ("anthropometry", {"male": 1}),
    "bmi": ("anthropometry", {"male": 1}),
    "sbp": ("anthropometry", {"male": 1, "age": 1}),
    "weight": ("definition", {"height": 1, "bmi": 1}),
    "bsa": ("definition", {"height": 1, "weight": 1}),
    "dm": ("diabetes", {"male": 1, "age": 1, "bmi": 1}),
    "cad": ("own", {"male": 1, "age": 1, "bmi": 1, "dm": 1, "sbp": 1}),
    "mi": ("own", {"cad": 1}),
    "af": ("own", {"male": 1, "age": 1, "bmi": 1, "cad": 1, "dcm": 1}),
    "af_now": ("atrium", {"af": 1}),
    "scar_size": ("infarct", {"mi": 1}),
    "scar_territory": ("infarct", {"mi": 0}),
    "scar_transmurality": ("infarct", {"mi": 1, "scar_size": 1}),
    "heart_rate": ("rate", {"male": -1, "bmi": 1, "dm": 1, "af_now": 1}),
    "lvedv_target": ("volumes", {"male": 1, "height": 1, "age": -1, "bmi": 1, "sbp": 1,
                                 "heart_rate": -1, "size_u": 1, "dm": -1, "scar_size": 1,
                                 "dcm": 1}),
    "lvm_target": ("volumes", {"lvedv_target": 1, "male": 1, "age": 1, "bmi": 1, "sbp": 1,
                               "size_u": -1, "concentricity_c": 1, "heart_rate": 1, "dm": 1,
                               "dcm": -1}),
    "ef_target": ("volumes", {"male": -1, "contractility_e": 1, "size_u": -1, "concentricity_c": 1,
                              "scar_size": -1, "dm": -1, "dcm": -1, "af_now": -1,
                              "heart_rate": -1}),
    "longitudinal_strain": ("strain", {"ef_target": -1, "male": 1, "lvm_target": 1,
                                       "lvedv_target": -1, "dm": 1}),
    "rv_ef_target": ("volumes", {"ef_target": 1, "male": -1}),
    "lbbb": ("block", {"ef_target": -1}),
    "rbbb": ("block", {"male": 1, "age": 1, "lbbb": -1}),
    "heart:cavity": ("strain", {"lvedv_target": 1}),
    "heart:wall": ("strain", {"lvm_target": 1, "lvedv_target": -1, "scar_size": 0,
                              "scar_territory": 0, "scar_transmurality": 0}),
    "heart:motion": ("strain", {"ef_target": 1, "longitudinal_strain": 1, "scar_size": 0,
                                "scar_territory": 0, "scar_transmurality": 0, "lbbb": 0}),
    "heart:right": ("volumes", {"rv_sv_ratio": 1, "rv_ef_target": -1, "heart:cavity": 1,
                                "heart:motion": 1, "heart:wall": 0, "longitudinal_strain": 0}),
    "lvedv": ("definition", {"heart:cavity": 1}),
    "lvesv": ("definition", {"heart:cavity": 1, "heart:motion": -1}),
    "lvef": ("definition", {"heart:motion": 1}),
    "lvm": ("definition", {"heart:wall": 1, "heart:cavity": 0}),
    "rvedv": ("definition", {"heart:right": 1}),
    "rvesv": ("definition", {"heart:right": 1}),
    "rvef": ("definition", {"heart:right": 0}),
    "wt_global": ("definition", {"heart:wall": 1}),
    "phenotype:LV": ("definition", {"heart:cavity": 1, "heart:motion": 0}),
    "phenotype:LVCO": ("definition", {"heart:cavity": 1, "heart:motion": 1, "heart_rate": 1}),
    "phenotype:LVM": ("definition", {"heart:wall": 1, "heart:cavity": 0}),
    "phenotype:RV": ("definition", {"heart:right": 1}),
    "phenotype:WT": ("definition", {"heart:wall": 1}),
    "phenotype:Ecc": ("definition", {"heart:motion": -1, "heart:cavity": 0, "heart:wall": 0,
                                     "longitudinal_strain": 0}),
    "phenotype:Err": ("definition", {"heart:motion": 1, "heart:cavity": 0, "heart:wall": 0,
                                     "longitudinal_strain": 0}),
    "image:mask": ("definition", {**dict.fromkeys(HEART, 0), "longitudinal_strain": 0}),
    "image:heart": ("definition", {**dict.fromkeys(HEART, 0), "longitudinal_strain": 0}),
    "image:chest": ("own", {"bmi": 0}),
    "ecg:rate": ("definition", {"heart_rate": 1}),
    "ecg:fibrillation": ("atrium", {"af_now": 1}),
    "ecg:diabetes": ("diabetes", {"dm": 1}),
    "ecg:gain": ("voltage", {"lvm": 1, "bmi": -1, "male": -1}),
    "ecg:septum": ("own", {"lvef": 1}),
    "ecg:base": ("own", {"rvedv": 1, "male": -1}),
    "ecg:axis": ("axis", {"bmi": -1, "age": -1, "sbp": -1, "male": -1, "lvef": 1}),
    "ecg:turn": ("own", {"lvm": 1, "height": -1, "bmi": -1}),
    "ecg:qrs": ("intervals", {"male": 1, "lvm": 1, "lvedv": 1, "age": 1, "lvef": -1, "scar_size": 1,
                              "ecg:left_block": 1, "ecg:right_block": 1}),
    "ecg:left_block": ("block", {"lbbb": 1}),
    "ecg:right_block": ("block", {"rbbb": 1}),
    "ecg:pr": ("intervals", {"age": 1}),
    "ecg:qtc": ("intervals", {"male": -1, "lvm": 1, "height": -1, "bmi": -1, "dm": 1,
                              "ecg:qrs": 1}),
    "ecg:p_duration": ("intervals", {"male": 1, "age": 1, "af": 1, "bmi": 1}),
    "ecg:p_terminal": ("atrium", {"af": 1, "lvm": 1, "height": -1, "bmi": -1, "lvef": -1}),
    "ecg:t_gain": ("intervals", {"heart_rate": -1, "male": 1, "lvef": 1, "sbp": -1, "lvm": -1,
                                 "height": 1, "bmi": 1, "scar_size": -1, "dm": -1}),
    "ecg:t_axis": ("axis", {"ecg:axis": 1}),
    "ecg:t_turn": ("own", {"lvm": -1, "height": 1, "bmi": 1, "lvef": 1}),
    "ecg:strain": ("own", {"lvm": 1, "male": -1, "height": -1, "bmi": -1}),
    "ecg:q_wave": ("infarct", {"mi": 1, "scar_size": 1, "scar_transmurality": 1}),
    "ecg:scar_t": ("infarct", {"scar_size": 1}),
    "ecg:territory": ("infarct", {"scar_territory": 0}),
}
EDGES = tuple(Edge(cause, effect, sign, source) for effect, (source, causes) in _TABLE.items()
              for cause, sign in causes.items())

# where the name of `PRIVATE_SD` is not that of the feature
_ECG_PRIVATE = {"log_voltage": "gain", "log_septum": "septum", "log_base": "base",
                "log_t": "t_gain", "log_t_width": "t_width", "log_p": "p_height",
                "log_terminal": "p_terminal", "q_depth": "q_wave"}
_REACH = {"anatomy": HEART, "ecg": ("ecg:recording",), "cmr": IMAGE}  # of a recorded latent
PRIVATE = (
    *(Private(name, "physiology", ()) for name in (
        "size_u", "concentricity_c", "contractility_e", "rv_sv_ratio")),
    Private("contractility of the right ventricle", "physiology",
            ("rv_sv_ratio", "rv_ef_target")),
    Private("axis ratio", "anatomy", ("heart:cavity", "heart:wall", "heart:right")),
    Private("roundness", "anatomy", ("heart:cavity", "heart:wall", "heart:motion")),
    Private("regional thickness", "anatomy", ("heart:wall",)),
    Private("regional contraction", "anatomy", ("heart:motion",)),
    Private("shape of the right ventricle", "anatomy", ("heart:right",)),
    *(Private(name, "ecg", (f"ecg:{_ECG_PRIVATE.get(name, name)}",)) for name in PRIVATE_SD),
    *(Private(name, "ecg", ("ecg:recording",)) for name in (
        "lead field", "local activity", "beat jitter", "beat times", "ectopic beats",
        "fibrillatory waves", "electrode noise")),
    *(Private(name, "cmr", ("image:heart", "image:chest")) for name in (
        "tissue contrast", "receiver coils", "texture", "point spread", "dark arcs", "noise")),
    Private("place and turn of the heart", "cmr", ("image:heart", "image:mask")),
    *(Private(name, "cmr", ("image:heart",)) for name in (
        "papillary muscles", "trabeculae", "pericardial fat", "flow")),
    *(Private(name, "cmr", ("image:chest",)) for name in (
        "subcutaneous fat", "chest size", "liver", "stomach", "aorta", "lung vessels", "spine")),
    Private("errors of automated phenotyping", "labels", PHENOTYPE),
    *(Private(f"ecg_{name}", "ecg", (f"ecg:{_ECG_PRIVATE.get(name, name)}",))
      for name in PRIVATE_SD),
    *(Private(latent.name, latent.stream, _REACH[latent.stream]) for latent in LATENT_INFO
      if latent.stream in _REACH and latent.name.removeprefix("ecg_") not in PRIVATE_SD),
)
NODES = tuple(dict.fromkeys((*DEMOGRAPHICS, *(e.cause for e in EDGES), *(e.effect for e in EDGES),
                             *OUTPUTS)))


def parents(node: str) -> set[str]:
    """Direct causes of a node."""
    _check(node)
    return {edge.cause for edge in EDGES if edge.effect == node}


def children(node: str) -> set[str]:
    """Direct effects of a node."""
    _check(node)
    return {edge.effect for edge in EDGES if edge.cause == node}


def ancestors(node: str) -> set[str]:
    """All causes of a node, near and far."""
    return _closure(node, parents)


def descendants(node: str) -> set[str]:
    """All effects of a node, near and far."""
    return _closure(node, children)


def may_move(latent: str) -> set[str]:
    """The outputs that a change of a latent is allowed to move.

    Args:
        latent: a node, or the name of a private latent.
    Returns:
        Names out of `OUTPUTS`.
    Raises:
        ValueError: the latent is unknown.
    """
    own = [private.effects for private in PRIVATE if private.name == latent]
    if latent not in NODES and not own:
        raise ValueError(f"latent={latent!r}, but should be one of {', '.join(NODES)} or private")
    reached = {node for effects in own for effect in effects for node in
               {effect} | descendants(effect)}
    if latent in NODES:
        reached |= descendants(latent)
    return reached & set(OUTPUTS)


def stream_of(private: str) -> str:
    """The random stream in which a private latent lives.

    Args:
        private: name of the latent.
    Returns:
        A key of `streams.STREAMS`.
    Raises:
        ValueError: an unknown name.
    """
    for latent in PRIVATE:
        if latent.name == private:
            return latent.stream
    known = ", ".join(latent.name for latent in PRIVATE)
    raise ValueError(f"private={private!r}, but should be one of {known}")


def faults() -> list[str]:
    """What is wrong with the declaration itself: cycles, doubles, unknown sources and streams."""
    found = [f"{node} causes itself" for node in NODES if node in descendants(node)]
    pairs = [(edge.cause, edge.effect) for edge in EDGES]
    found += [f"{pair[0]} -> {pair[1]} is declared twice" for pair in set(pairs)
              if pairs.count(pair) > 1]
    found += [f"{e.cause} -> {e.effect} has source {e.source!r}" for e in EDGES
              if e.source not in SOURCES]
    found += [f"{p.name} has stream {p.stream!r}" for p in PRIVATE if p.stream not in STREAMS]
    found += [f"{p.name} moves the unknown {e}" for p in PRIVATE for e in p.effects
              if e not in NODES]
    return found


def grouped() -> list[tuple[str, str, int]]:
    """The graph with the ECG's features merged into their groups.

    Returns:
        (cause, effect, sign), each pair once; sign 0 where merged edges disagree.
    """
    return _merge(_ECG_BOX)


def overview() -> list[tuple[str, str, int]]:
    """The graph in a dozen boxes; (cause, effect, sign) as `grouped`."""
    return _merge({**_ECG_BOX, **{node: box for box, nodes in _BOXES.items() for node in nodes}})


def mermaid(edges: list[tuple[str, str, int]] | None = None) -> str:
    """The graph as Mermaid text: solid arrows raise, dotted ones lower, thick ones have no sign.

    Args:
        edges: (cause, effect, sign); by default all of `grouped`.
    Returns:
        Lines of a `flowchart LR`.
    """
    arrow = {1: "-->", -1: "-.->", 0: "==>"}
    lines = [f"  {_id(cause)}[{cause}] {arrow[sign]} {_id(effect)}[{effect}]"
             for cause, effect, sign in (grouped() if edges is None else edges)]
    return "\n".join(["flowchart LR", *lines]) + "\n"


def table() -> str:
    """All edges as a Markdown table."""
    rows = [f"| {e.cause} | {e.effect} | {'-0+'[e.sign + 1]} | {e.source} |" for e in EDGES]
    return "\n".join(["| cause | effect | sign | source |", "|---|---|---|---|", *rows]) + "\n"


def document() -> str:
    """The overview's drawing, all edges and their sources, as Markdown."""
    sources = "".join(f"- {name}: {source}\n" for name, source in SOURCES.items())
    return f"```mermaid\n{mermaid(overview())}```\n\n{table()}\n{sources}"


def _merge(group: dict[str, str]) -> list[tuple[str, str, int]]:
    """Edges between groups, each pair once, without those inside a group."""
    merged: dict[tuple[str, str], set[int]] = {}
    for edge in EDGES:
        pair = group.get(edge.cause, edge.cause), group.get(edge.effect, edge.effect)
        if pair[0] != pair[1]:
            merged.setdefault(pair, set()).add(edge.sign)
    return [(*pair, signs.pop() if len(signs) == 1 else 0) for pair, signs in merged.items()]


def _id(node: str) -> str:
    return node.replace(":", "_").replace(" ", "_")


def _closure(node: str, step) -> set[str]:
    found: set[str] = set()
    waiting = list(step(node))
    while waiting:
        following = waiting.pop()
        if following not in found:
            found.add(following)
            waiting.extend(step(following))
    return found


def _check(node: str) -> None:
    if node not in NODES:
        raise ValueError(f"node={node!r}, but should be one of {', '.join(NODES)}")
