"""The training loop, its learning-rate schedule and its parameter groups.

    eta(e) = base e / warmup                                                       e < warmup
             minimum + (base - minimum) (1 + cos(pi (e - warmup) / (total - warmup))) / 2   else
    scale of layer l = decay^(depth + 1 - l),  embeddings l = 0, block i l = i + 1, rest depth + 1

Glossary: e fractional epoch, eta learning rate, B records in a batch, n rows of a split.
Source: Turgut et al. 2025, sections 3.1-3.3; authors' code (schedule, layer decay).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from reference.presets import Stage


def warmup_cosine(epoch: float, base: float, warmup: float, total: float,
                  minimum: float = 0.0) -> float:
    """Learning rate at a fractional epoch: linear warm-up from 0, half a cosine to the minimum.

    Args:
        epoch: fractional epoch, 0 <= epoch.
        base: peak learning rate.
        warmup: epochs of warm-up.
        total: epochs in all, at least warmup.
        minimum: learning rate at the end.
    Returns:
        The learning rate; past the end it stays at the minimum.
    Raises:
        ValueError: negative epoch or warm-up, or total < warmup.
    Source: authors' code (learning-rate schedule).
    """
    if epoch < 0 or warmup < 0 or total < warmup:
        raise ValueError("need epoch >= 0 and 0 <= warmup <= total, got "
                         f"{epoch}, {warmup}, {total}")
    if epoch < warmup:
        return base * epoch / warmup
    if epoch >= total:
        return minimum
    share = (epoch - warmup) / (total - warmup)
    return minimum + (base - minimum) * 0.5 * (1 + math.cos(math.pi * share))


def layer_decay(model: nn.Module, decay: float, weight_decay: float) -> list[dict]:
    """AdamW parameter groups whose learning rate falls towards the input.

    Args:
        model: an encoder with `blocks`; parameters that need no gradient are left out.
        decay: factor per layer, in (0, 1].
        weight_decay: for matrices; vectors, position embedding and class token get 0.
    Returns:
        Groups with "params", "names", "lr_scale", "weight_decay".
    Raises:
        ValueError: decay outside (0, 1], or the model has no blocks.
    Source: authors' code (fine-tuning); Clark et al. 2020.
    """
    if not 0.0 < decay <= 1.0:
        raise ValueError(f"decay must be in (0, 1], got {decay}")
    blocks = getattr(model, "blocks", None)
    if blocks is None:
        raise ValueError(f"layer_decay needs a model with blocks, got {type(model).__name__}")
    last = len(blocks) + 1
    groups: dict[tuple, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = _layer(name, last)
        plain = parameter.ndim <= 1 or name in ("pos_embed", "cls_token")
        group = groups.setdefault((layer, plain), {
            "params": [], "names": [], "lr_scale": decay ** (last - layer),
            "weight_decay": 0.0 if plain else weight_decay})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def _layer(name: str, last: int) -> int:
    if name.startswith(("pos_embed", "cls_token", "patch_embed")):
        return 0
    return int(name.split(".")[1]) + 1 if name.startswith("blocks.") else last


def matrices_only(model: nn.Module, weight_decay: float) -> list[dict]:
    """AdamW groups that decay matrices and spare vectors (biases and norms).

    Args:
        model: any module; parameters that need no gradient are left out.
        weight_decay: for tensors of two or more dimensions.
    Returns:
        Two groups with "params", "lr_scale" 1 and "weight_decay".
    Source: authors' code (timm's grouping: one-dimensional parameters and biases are spared).
    Class and mask token have three dimensions and are decayed, there as here.
    """
    train = [p for p in model.parameters() if p.requires_grad]
    return [{"params": [p for p in train if p.ndim > 1], "lr_scale": 1.0,
             "weight_decay": weight_decay},
            {"params": [p for p in train if p.ndim <= 1], "lr_scale": 1.0, "weight_decay": 0.0}]


@dataclass
class History:
    """What a stage did: loss per step; score and monitors per validation; best state and score."""

    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    monitors: list[dict[str, float]] = field(default_factory=list)
    best: float = math.nan
    best_state: dict | None = None
    interrupted: bool = False
    seconds: float = 0.0


class Progress(Protocol):
    """Is told of every step: stage, step, steps, and the loss where there is one."""

    def __call__(self, stage: str, step: int, steps: int, loss: float = ..., /) -> None: ...


def fit(name: str, model: nn.Module, optimiser: torch.optim.Optimizer, stage: Stage,
        rows: np.ndarray, loss_of: Callable[[np.ndarray], torch.Tensor],
        validate: Callable[[], float], *, seed: int, higher_is_better: bool,
        monitor: Callable[[], dict[str, float]] | None = None, progress: Progress | None = None,
        checkpoint: Callable[[History], None] | None = None) -> History:
    """Train one stage: shuffled epochs without the last short batch, scheduled learning rate.

    The state with the best validation score is kept in the history. An interrupt, or the stage's
    patience, ends it early with what was reached.

    Args:
        name: of the stage, for progress.
        model: its state is kept when a validation is the best so far.
        optimiser: its groups carry "lr_scale".
        stage: epochs, batch, learning rate, warm-up, number of validations.
        rows: [n] rows of the training split.
        loss_of: rows [B] -> scalar loss.
        validate: -> score of the model as it is.
        seed: of the shuffling.
        higher_is_better: direction of the score.
        monitor: called after every validation; what it returns is kept in the history.
        progress: called after every step.
        checkpoint: called after every validation.
    Returns:
        History.
    Raises:
        ValueError: fewer rows than one batch.
        FloatingPointError: the loss is not finite.
    """
    per_epoch = len(rows) // stage.batch
    if per_epoch < 1:
        raise ValueError(f"{name}: {len(rows)} training subjects, one batch needs {stage.batch}")
    steps = stage.epochs * per_epoch
    validate_at = {round(steps * (k + 1) / stage.validations) for k in range(stage.validations)}
    history, start = History(), time.perf_counter()
    try:
        for step, batch in enumerate(_batches(rows, stage, seed)):
            epoch = step // per_epoch if stage.per_epoch else step / per_epoch
            rate = warmup_cosine(epoch, stage.lr, stage.warmup * stage.epochs, stage.epochs)
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            model.train()
            loss = loss_of(batch)
            history.losses.append(float(loss.detach()))
            if not math.isfinite(history.losses[-1]):
                raise FloatingPointError(f"{name}: loss {history.losses[-1]} at step {step}")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if progress:
                progress(name, step + 1, steps, history.losses[-1])
            if step + 1 in validate_at:
                _validate(model, history, step + 1, validate, higher_is_better)
                if monitor:
                    history.monitors.append(monitor())
                if checkpoint:
                    checkpoint(history)
                if stage.patience and _stale(history) >= stage.patience:
                    break
    except KeyboardInterrupt:
        history.interrupted = True
        if history.best_state is None:
            history.best_state = _copy(model)
    history.seconds = time.perf_counter() - start
    return history


def _batches(rows: np.ndarray, stage: Stage, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([seed, 1])
    for _ in range(stage.epochs):
        order = rng.permutation(rows)
        for i in range(len(rows) // stage.batch):
            yield np.sort(order[i * stage.batch:(i + 1) * stage.batch])


def _validate(model: nn.Module, history: History, step: int, validate: Callable[[], float],
              higher_is_better: bool) -> None:
    model.eval()
    with torch.no_grad():
        score = float(validate())
    history.scores.append((step, score))
    better = score > history.best if higher_is_better else score < history.best
    if math.isnan(history.best) or better:
        history.best, history.best_state = score, _copy(model)


def _stale(history: History) -> int:
    """Validations since the best one."""
    scores = [score for _, score in history.scores]
    return len(scores) - 1 - scores.index(history.best)


def _copy(model: nn.Module) -> dict:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def chunks(rows: np.ndarray, size: int = 256) -> Iterator[np.ndarray]:
    """Consecutive pieces of at most `size` rows."""
    for i in range(0, len(rows), size):
        yield rows[i:i + size]
