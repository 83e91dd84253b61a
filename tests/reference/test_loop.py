"""The training loop: schedule, parameter groups, batches, validation, best state, early ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference.encoders import ECGEncoder
from reference.loop import History, chunks, fit, layer_decay, matrices_only, warmup_cosine
from reference.masked_modelling import MaskedAutoencoder
from reference.presets import Stage
from reference.views import CROP_ONLY
from tests.support.helpers import assert_close, assert_equal, assert_parity, larger_golden

# --- schedule


def test_warmup_cosine_larger():
    golden = larger_golden("lr_schedule_mdm")
    got = [warmup_cosine(e, float(golden["base_lr"]), float(golden["warmup"]),
                         float(golden["epochs"]), float(golden["min_lr"])) for e in golden["epoch"]]
    assert_parity("learning-rate schedule", np.array(got), golden["lr"], 1e-6, "larger set")


@pytest.mark.parametrize("epoch, want", [
    (0, 0.0), (1, 0.25), (2.5, 0.625), (4, 1.0), (12, 0.55), (20, 0.1), (25, 0.1),
    (8, 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2), (16, 0.1 + 0.9 * (1 - math.sqrt(0.5)) / 2)])
def test_warmup_cosine_by_hand(epoch, want):
    assert_close("rate", warmup_cosine(epoch, 1.0, 4, 20, 0.1), want, atol=1e-12, call=f"{epoch}")


def test_warmup_cosine_ends_at_zero_by_default():
    assert_close("rate", [warmup_cosine(e, 3.0, 4, 20) for e in (12, 20, 21)], [1.5, 0, 0],
                 atol=1e-12)


@given(st.floats(0, 10), st.floats(0, 50))
def test_warmup_cosine_is_continuous_and_bounded(warmup, rest):
    total, step = warmup + rest + 1, 1e-7
    for epoch in (warmup, total, warmup / 2, total / 2):
        before = warmup_cosine(max(epoch - step, 0), 1.0, warmup, total)
        after = warmup_cosine(epoch + step, 1.0, warmup, total)
        assert 0 <= after <= 1
        if warmup > 0.01:
            assert abs(after - before) < 1e-4
    assert warmup_cosine(warmup, 1.0, warmup, total) == 1.0


def test_warmup_cosine_without_warmup_starts_at_the_peak_and_may_be_all_warmup():
    assert warmup_cosine(0, 2.0, 0, 10) == 2.0
    assert warmup_cosine(9, 2.0, 10, 10) == pytest.approx(1.8)
    assert warmup_cosine(10, 2.0, 10, 10, 0.5) == 0.5
    assert warmup_cosine(0, 2.0, 0, 0) == 0.0


@pytest.mark.parametrize("epoch, warmup, total", [(-0.1, 1, 2), (0, -1, 2), (0, 3, 2)])
def test_warmup_cosine_refuses(epoch, warmup, total):
    with pytest.raises(ValueError, match=f"got {epoch}, {warmup}, {total}"):
        warmup_cosine(epoch, 1.0, warmup, total)


# --- parameter groups


def encoder(depth: int = 2, **options) -> ECGEncoder:
    return ECGEncoder((1, 12, 40), (1, 20), 8, depth, 2, **options)


def by_name(groups: list[dict]) -> dict[str, tuple[float, float]]:
    """name -> (lr_scale, weight_decay)."""
    return {name: (group["lr_scale"], group["weight_decay"]) for group in groups
            for name in group["names"]}


def test_layer_decay_larger():
    golden = larger_golden("layer_decay")
    got = by_name(layer_decay(encoder(outputs=2), 0.75, 0.05))
    names = [str(name) for name in golden["names"]]
    assert sorted(got) == sorted(names)
    for i, title in enumerate(("lr_scale", "weight_decay")):
        assert_parity(f"layer decay {title}", np.array([got[n][i] for n in names]), golden[title],
                      1e-6, "larger set")


def test_layer_decay_by_hand():
    model = encoder(3, pooling="attention", outputs=2)
    groups = layer_decay(model, 0.5, 0.1)
    got, parameters = by_name(groups), dict(model.named_parameters())
    assert sorted(got) == sorted(parameters)
    layers = {"cls_token": 0, "pos_embed": 0, "patch_embed.proj.weight": 0,
              "blocks.0.norm1.bias": 1, "blocks.1.attn.qkv.weight": 2, "blocks.2.mlp.fc2.weight": 3,
              "fc_norm.weight": 4,
              "attention_pool.in_proj_weight": 4, "head.weight": 4, "head.bias": 4}
    for name, layer in layers.items():
        plain = parameters[name].ndim == 1 or name in ("cls_token", "pos_embed")
        assert got[name] == (0.5 ** (4 - layer), 0.0 if plain else 0.1), name
    for group in groups:
        assert all(p is parameters[n] for p, n in zip(group["params"], group["names"], strict=True))
    model.pos_embed.requires_grad = False
    assert "pos_embed" not in by_name(layer_decay(model, 1.0, 0.1))
    assert {scale for scale, _ in by_name(layer_decay(model, 1.0, 0.1)).values()} == {1.0}


@pytest.mark.parametrize("model, decay, words", [
    (nn.Linear(2, 2), 0.5, "got Linear"), (encoder(), 0.0, r"\(0, 1\], got 0.0"),
    (encoder(), 1.1, "got 1.1")])
def test_layer_decay_refuses(model, decay, words):
    with pytest.raises(ValueError, match=words):
        layer_decay(model, decay, 0.1)


def test_matrices_only():
    model = MaskedAutoencoder((1, 12, 40), (1, 20), 8, 1, 2, 4, 1, 2)
    names = {id(p): n for n, p in model.named_parameters()}
    decayed, spared = matrices_only(model, 0.15)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.15, 0.0)
    assert decayed["lr_scale"] == spared["lr_scale"] == 1.0
    got = [{names[id(p)] for p in group["params"]} for group in (decayed, spared)]
    assert not got[0] & got[1]
    assert got[0] | got[1] == set(names.values()) - {"pos_embed", "decoder_pos_embed"}
    assert {n for n in names.values() if n.endswith("bias") or "norm" in n} == got[1]


# --- the loop


class Line(nn.Module):
    """One weight w; the loss that the tests use is w itself, so each step moves it by the rate."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


ROWS = np.arange(10, 20)


def stage(epochs=3, batch=4, **options) -> Stage:
    return Stage(epochs, batch, 0.5, 0.0, options.pop("warmup", 0.25), CROP_ONLY, **options)


def run(recipe: Stage, rows=ROWS, *, scores=(), loss=None, seed=0, higher=False,
        **options):
    """fit with its calls recorded: (history, model, batches, rates, scale 1 and 0.1)."""
    model, batches, rates, left = Line(), [], [], iter(scores)
    other = nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.SGD([{"params": [model.w]}, {"params": [other], "lr_scale": 0.1}], 0.0)

    def loss_of(batch):
        assert model.training and torch.is_grad_enabled()
        batches.append(batch.tolist())
        rates.append([group["lr"] for group in optimiser.param_groups])
        return model.w + other if loss is None else loss(len(batches), model)

    def validate():
        assert not model.training and not torch.is_grad_enabled()
        return next(left, 0.0)

    history = fit("toy", model, optimiser, recipe, rows, loss_of, validate, seed=seed,
                  higher_is_better=higher, **options)
    return history, model, batches, rates


def test_batches_are_whole_shuffled_sorted_and_repeatable():
    _, _, batches, _ = run(stage(epochs=6))
    assert len(batches) == 12  # two whole batches of 4 among 10 rows, six epochs
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        assert len(first) == len(second) == 4 and first == sorted(first)
        assert set(first).isdisjoint(second) and set(first) | set(second) <= set(range(10, 20))
    assert len({tuple(b) for b in batches}) > 6
    assert run(stage(epochs=6))[2] == batches
    assert run(stage(epochs=6), seed=1)[2] != batches


def test_every_row_is_drawn_equally_often():
    _, _, batches, _ = run(stage(epochs=2000), np.arange(10))
    count = np.bincount(np.concatenate(batches), minlength=10)
    statistic = ((count - 1600) ** 2).sum() / (2000 * 0.8 * 0.2) * 0.9
    assert statistic < 44.8, statistic  # chi-square, 9 degrees of freedom, false alarm 1e-6


def test_rate_follows_the_fractional_epoch():
    rates = run(stage(epochs=4, batch=2))[3]  # 5 steps an epoch
    want = [warmup_cosine(step / 5, 0.5, 1.0, 4) for step in range(20)]
    assert_close("rate", [r[0] for r in rates], want, atol=1e-12)
    assert_close("scaled", [r[1] for r in rates], 0.1 * np.array(want), atol=1e-12)


def test_rate_per_epoch_is_constant_within_an_epoch():
    rates = run(stage(epochs=4, batch=2, per_epoch=True))[3]
    want = [warmup_cosine(step // 5, 0.5, 1.0, 4) for step in range(20)]
    assert_close("rate", [r[0] for r in rates], want, atol=1e-12)


def test_gradients_do_not_pile_up():
    history, model, _, rates = run(stage(epochs=2))
    assert_close("w", model.w, -sum(r[0] for r in rates), rtol=1e-6)  # slope 1 in every step
    assert_close("losses", history.losses, [-1.1 * sum(r[0] for r in rates[:i]) for i in range(4)],
                 atol=1e-6)


@pytest.mark.parametrize("validations, want", [(1, [30]), (3, [10, 20, 30]), (4, [8, 15, 22, 30]),
                                               (100, list(range(1, 31)))])
def test_validations_are_spread_over_the_stage(validations, want):
    seen = []
    history = run(stage(epochs=15, validations=validations),
                  checkpoint=lambda h: seen.append(len(h.scores)))[0]
    assert [step for step, _ in history.scores] == want
    assert seen == list(range(1, len(want) + 1))  # after every validation


@pytest.mark.parametrize("higher, best", [(False, 1), (True, 2)])
def test_best_state_is_kept(higher, best):
    scores = [3.0, 1.0, 7.0, 2.0, 7.0, 1.0]  # ties: the earlier one stays
    states = []
    history, model, _, _ = run(stage(validations=6), scores=scores, higher=higher,
                               progress=lambda *_: states.append(None))
    assert history.scores == [(i + 1, s) for i, s in enumerate(scores)]
    assert history.best == scores[best] and len(states) == 6
    want = history.losses[best + 1] / 1.1  # the loss of the next step is 1.1 w
    assert_close("w", history.best_state["w"], want, rtol=1e-5)
    assert not torch.equal(history.best_state["w"], model.w) and not history.interrupted
    assert 0 < history.seconds < 60


def test_a_score_that_is_no_number_never_wins():
    history = run(stage(validations=6), scores=[math.nan, 2.0, math.nan, 3.0, 1.0, math.nan])[0]
    assert history.best == 1.0
    history = run(stage(validations=6), scores=[math.nan] * 6)[0]
    assert math.isnan(history.best) and history.best_state is not None


def test_patience():
    scores = [5.0, 4.0, 4.5, 4.5, 3.0, 1.0]
    history = run(stage(validations=6, patience=2), scores=scores)[0]
    assert [s for _, s in history.scores] == scores[:4] and history.best == 4.0
    assert len(history.losses) == 4 and not history.interrupted
    assert len(run(stage(validations=6, patience=3), scores=scores)[0].scores) == 6
    assert len(run(stage(validations=6), scores=[1.0, *[2.0] * 5])[0].scores) == 6


def test_monitors_are_kept_beside_the_scores():
    order = []
    history = run(stage(validations=3), monitor=lambda: {"top1": float(len(order))},
                  checkpoint=lambda h: order.append(len(h.monitors)))[0]
    assert history.monitors == [{"top1": 0.0}, {"top1": 1.0}, {"top1": 2.0}]
    assert order == [1, 2, 3]  # in time for the checkpoint
    assert run(stage())[0].monitors == []


def test_progress_is_told_every_step():
    seen = []
    history = run(stage(), progress=lambda *values: seen.append(values))[0]
    assert seen == [("toy", i + 1, 6, history.losses[i]) for i in range(6)]


@pytest.mark.parametrize("at, validated", [(1, False), (5, True)])
def test_interrupt_keeps_what_was_reached(at, validated):
    def loss(step, model):
        if step == at:
            raise KeyboardInterrupt
        return model.w

    history, model, _, _ = run(stage(validations=3), loss=loss, scores=[2.0, 3.0])
    assert history.interrupted and len(history.losses) == at - 1
    assert bool(history.scores) is validated and history.seconds > 0
    assert history.best_state is not None
    if not validated:
        assert_equal("w", history.best_state["w"], model.w)
        assert math.isnan(history.best)
    else:
        assert history.best == 2.0 and not torch.equal(history.best_state["w"], model.w)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_stage(value):
    with pytest.raises(FloatingPointError, match=f"toy: loss {value} at step 2"):
        run(stage(), loss=lambda step, model: model.w + (value if step == 3 else 0))


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="toy: 3 training subjects, one batch needs 4"):
        run(stage(), np.arange(3))
    assert len(run(stage(), np.arange(4))[0].losses) == 3


def test_history_starts_empty():
    assert math.isnan(History().best) and History().best_state is None
    assert History().losses == [] and History().losses is not History().losses


@pytest.mark.parametrize("n, size, want", [(0, 3, []), (2, 3, [2]), (3, 3, [3]), (7, 3, [3, 3, 1]),
                                           (300, 256, [256, 44])])
def test_chunks(n, size, want):
    parts = list(chunks(np.arange(n), size))
    assert [len(p) for p in parts] == want
    assert np.concatenate([np.arange(0), *parts]).tolist() == list(range(n))
