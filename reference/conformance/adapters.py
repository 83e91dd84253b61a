"""Adapters: what a port makes of the golden vectors.

An adapter maps components to functions

    clip_loss(case, dtype) -> {"loss/total": array, "grad/z_cmr": array, ...}

    case.config               what the component is called with: temperature, ratio, ...
    case.given(kind, dtype)   NumPy arrays by name, kind "in", "noise" or "param"
    dtype                     "float64" or "float32": the precision to compute in

and the names of the results are those of the vectors (`case.entries`). The adapter of a port is a
Python file that defines such functions under the names of the components, as many as it has, or a
dictionary COMPONENTS of them. A function that raises NotImplementedError counts as not there.
"""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType

from reference.conformance.vectors import Case

Adapter = Callable[[Case, str], Mapping]

# The components in the order of work, each built of those before it: the first that fails is the
# place to look. A name on the left stands for the whole line.
GROUPS = {
    "masking": ("random_mask", "gather_tokens"),
    "patches": ("patchify", "unpatchify", "position_table", "position_interpolation",
                "patch_embedding"),
    "transformer": ("layer_norm", "attention", "mlp", "block"),
    "ecg": ("encoder", "masked_encoder", "pooling", "ecg_encoder", "prediction_head",
            "projection_head"),
    "cmr": ("batch_norm", "basic_block", "bottleneck", "cmr_stem", "cmr_encoder"),
    "reconstruction": ("decoder", "cross_correlation", "reconstruction_loss", "masked_autoencoder",
                       "negative_cosine", "consistency"),
    "contrastive": ("clip_loss", "nt_xent_loss", "soft_positive_loss",
                    "false_negative_removal_loss", "barlow_twins_loss", "byol_loss",
                    "byol_momentum", "update_target", "clocs_views"),
    "training": ("warmup_cosine", "layer_decay", "matrices_only", "masked_mse", "masked_bce"),
    "steps": ("mdm_steps", "mmcl_steps", "fine_tuning_steps"),
    "cleaning": ("asymmetric_least_squares", "normalise", "clean_ecg", "prepare_cine"),
    "views": ("crop", "fourier_surrogate", "jitter", "rescale", "ecg_view", "heart_box",
              "resize", "colour_jitter", "resample", "cmr_view"),
    "evaluation": ("classification_metrics", "regression_metrics", "in_batch_accuracy",
                   "retrieval", "collapse", "on_plateau", "ridge_probe", "logistic_probe"),
    "maps": ("similarity_maps", "attention_map", "upsample_cmr", "upsample_ecg"),
}


def place(component: str) -> tuple[int, str]:
    """Sort key of a component: its place in the order of work; those without one come last."""
    order = [name for names in GROUPS.values() for name in names]
    return (order.index(component) if component in order else len(order)), component


def load(path: Path, known: Iterable[str]) -> dict[str, Adapter]:
    """Components of a port from its adapter file.

    Args:
        path: Python file; it is executed, and its directory joins the end of the module search
            path, so that it can import what lies beside it.
        known: names of the components that there are vectors for.
    Returns:
        name -> function, for those that the file defines.
    Raises:
        ValueError: no such file, a file that cannot be executed, COMPONENTS with an unknown name,
            or a component that is not callable.
    """
    path, known = Path(path), list(known)
    if not path.is_file():
        raise ValueError(f"no adapter at {path}")
    module = _execute(path)
    table = getattr(module, "COMPONENTS", None)
    if table is None:
        table = {name: getattr(module, name) for name in known if hasattr(module, name)}
    elif not isinstance(table, Mapping):
        raise ValueError(f"{path}: COMPONENTS is a {type(table).__name__}, should be a dictionary")
    require_known(table, known, f"component of {path}")
    for name, function in table.items():
        if not callable(function):
            raise ValueError(f"{path}: {name} is a {type(function).__name__}, should be a function")
    return dict(table)


def require_known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """ValueError for the first name that is not known, with the nearest that are."""
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known) or sorted(known)
            raise ValueError(f"unknown {what} {name!r}; there is {', '.join(near)}")


def one_line(error: BaseException) -> str:
    """Type and message of an exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _execute(path: Path) -> ModuleType:
    """Module of a Python file, under a name that hides no other."""
    name = f"adapter_file_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    beside = str(path.resolve().parent)
    if beside not in sys.path:
        sys.path.append(beside)
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} cannot be executed: {one_line(error)}") from error
    return module
