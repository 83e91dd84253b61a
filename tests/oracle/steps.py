"""Training steps: the gradients of a stage, then Adam, written out.

    Adam    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
            w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8)
            decay: g <- g + c w beforehand (Adam), or w <- w - eta c w beforehand (AdamW)
    stage 1 loss of the masked autoencoder (`autoencoder.masked_autoencoder`)
    stage 2 CLIP loss of both projected embeddings
    stage 3 masked squared error of phenotypes + masked cross-entropy of labels

Glossary: w parameter, g gradient, eta learning rate, c weight decay, t step from 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tests.oracle import losses, masked_losses
from tests.oracle.layers import Net, chain
from tests.oracle.resnet import cmr_features
from tests.oracle.transformer import ecg_features, predicted, projection


class Rule(NamedTuple):
    """How one parameter moves: share of the learning rate, weight decay."""

    scale: float
    decay: float


class Adam:
    """Adam over named parameters; `decoupled` makes it AdamW."""

    def __init__(self, rules: dict[str, Rule], betas: tuple[float, float], decoupled: bool):
        self.rules, self.betas, self.decoupled, self.steps = rules, betas, decoupled, 0
        self.first = dict.fromkeys(rules, 0.0)
        self.second = dict.fromkeys(rules, 0.0)

    def step(self, values: dict[str, np.ndarray], grads: dict[str, np.ndarray], rate: float
             ) -> dict[str, np.ndarray]:
        """Parameters after one more step; those without a rule as they are."""
        self.steps += 1
        after, (b1, b2) = dict(values), self.betas
        for name, (scale, decay) in self.rules.items():
            w, g, eta = values[name], grads[name], rate * scale
            if self.decoupled:
                w = w - eta * decay * w
            else:
                g = g + decay * w
            m = self.first[name] = b1 * self.first[name] + (1 - b1) * g
            v = self.second[name] = b2 * self.second[name] + (1 - b2) * g * g
            m_hat, v_hat = m / (1 - b1**self.steps), v / (1 - b2**self.steps)
            after[name] = w - eta * m_hat / (np.sqrt(v_hat) + 1e-8)
        return after


def stage_rate(step: int, steps: int, base: float, warmup: float) -> float:
    """Learning rate before step 0, 1, ...: a line up to step `warmup`, then half a cosine."""
    if step < warmup:
        return base * step / warmup
    return base * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def part_of(net: Net, prefix: str) -> Net:
    """The parameters below a prefix as a net of their own."""
    return Net({name[len(prefix):]: value for name, value in net.values.items()
                if name.startswith(prefix)}, net.training)


def return_to(net: Net, part: Net, prefix: str) -> None:
    """Gradients and statistics of a part, under its prefix."""
    net.grads |= {f"{prefix}{name}": grad for name, grad in part.grads.items()}
    net.statistics |= {f"{prefix}{name}": value for name, value in part.statistics.items()}


def mmcl_gradients(net: Net, ecg: np.ndarray, image: np.ndarray, config: dict) -> dict:
    """Stage 2: embeddings, logits and loss."""
    ecg_net, cmr_net = part_of(net, "ecg."), part_of(net, "cmr.")
    h, first = ecg_features(ecg_net, ecg, config["heads"], "average")
    z_ecg, second = projection(net, "ecg_head.", h)
    h, third = cmr_features(cmr_net, image, pooled=False)
    z_cmr, fourth = projection(net, "cmr_head.", h)
    loss = losses.clip_loss(z_cmr, z_ecg, config["temperature"], config["weight"])
    chain(first, second)(loss["grad/z_ecg"])
    chain(third, fourth)(loss["grad/z_cmr"])
    return_to(net, ecg_net, "ecg.")
    return_to(net, cmr_net, "cmr.")
    return {"out/z_ecg": z_ecg, "out/z_cmr": z_cmr, "mid/logits": loss["mid/logits"],
            "loss/total": loss["loss/total"]}


def label_gradients(net: Net, ecg: np.ndarray, targets: np.ndarray, labels: np.ndarray,
                    observed: np.ndarray, config: dict) -> dict:
    """Stage 3: outputs (phenotypes, then labels) and loss; `observed` for both, in that order."""
    outputs, back = predicted(net, ecg, config["heads"], "attention")
    K = targets.shape[1]
    phenotypes = masked_losses.masked_mse(outputs[:, :K], targets, observed[:, :K], False)
    risks = masked_losses.masked_bce(outputs[:, K:], labels, observed[:, K:],
                                     np.array(config["positive_weight"]))
    back(np.concatenate([phenotypes["grad/prediction"], risks["grad/logits"]], axis=1))
    return {"out/outputs": outputs, "loss/phenotypes": phenotypes["loss/total"],
            "loss/labels": risks["loss/total"],
            "loss/total": phenotypes["loss/total"] + risks["loss/total"]}


def trained(net: Net, adam: Adam, gradients_of, config: dict) -> dict[str, np.ndarray]:
    """Steps of a stage: what the first one gives, its gradients, losses and parameters after all.

    `gradients_of(net, step)` gives results with "loss/total" and leaves the gradients in the net.
    """
    found, sequence, values, statistics = {}, [], net.values, {}
    for step in range(config["steps"]):
        now = Net({**values, **statistics}, training=True)
        results = gradients_of(now, step)
        sequence.append(float(results["loss/total"]))
        if step == 0:
            found = {**results, **{f"grad/{name}": now.grads[name] for name in adam.rules}}
        rate = stage_rate(step, config["steps"], config["lr"], config["warmup_steps"])
        values, statistics = adam.step(values, now.grads, rate), now.statistics
    after = {f"step/{name}": values[name] for name in adam.rules}
    return {**found, "step/losses": np.array(sequence), **after,
            **{f"step/{name}": value for name, value in statistics.items()}}
