"""The faults: one expression each, the component it breaks and the tensor that shows it."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One mistake: `before` becomes `after` in `function` of `reference`.

    `first` names the first tensor that differs, one for each kind of case where they differ; `also`
    names other components that call the function and fail with it.
    """

    name: str
    component: str
    wrong: str
    function: str
    before: str
    after: str
    first: str
    also: tuple[str, ...] = ()


MASKING = (
    Fault("rounded token count", "random_mask", "60 of 300 tokens stay: L (1 - r) is rounded",
          "masking.kept_tokens", "int(tokens * (1 - ratio))", "round(tokens * (1 - ratio))",
          "out/keep"),
    Fault("descending noise", "random_mask", "the tokens of the largest noise stay",
          "masking.random_mask", "noise.argsort(", "(-noise).argsort(", "out/keep"),
    Fault("last of equals", "random_mask", "equal noise is ordered from the higher index",
          "masking.random_mask", "noise.argsort(dim=1, stable=True)",
          "L - 1 - noise.flip(1).argsort(dim=1, stable=True)", "out/restore, out/keep"),
    Fault("kept tokens sorted", "random_mask", "kept tokens in their old order, not shuffled",
          "masking.random_mask", "order[:, :K]", "order[:, :K].sort(dim=1).values", "out/keep"),
    Fault("order for its inverse", "random_mask", "restore is the shuffle, not its inverse",
          "masking.random_mask", ", restore, (", ", order, (", "out/restore"),
    Fault("mask inverted", "random_mask", "1 marks what stays", "masking.random_mask",
          "restore >= K", "restore < K", "out/mask"),
    Fault("mask one short", "random_mask", "the last kept token counts as removed",
          "masking.random_mask", "restore >= K", "restore >= K - 1", "out/mask"),
    Fault("indices from one", "gather_tokens", "indices are read as if they began at 1",
          "masking.gather_tokens", "keep[:, :, None]", "(keep[:, :, None] - 1).clamp(min=0)",
          "out/kept"),
)

CLIP = (
    Fault("no temperature", "clip_loss", "cosines are not divided by T",
          "contrastive_loss.cosine_logits", "z0 @ z1.T / temperature", "z0 @ z1.T", "mid/logits"),
    Fault("temperature as factor", "clip_loss", "cosines are multiplied by T",
          "contrastive_loss.cosine_logits", "z0 @ z1.T / temperature", "z0 @ z1.T * temperature",
          "mid/logits"),
    Fault("unnormalised embeddings", "clip_loss", "inner products in place of cosines",
          "contrastive_loss.cosine_logits", "unit_rows(z) for z", "z for z", "mid/logits"),
    Fault("wrong lambda side", "clip_loss", "0.75 on ECG -> CMR", "contrastive_loss.clip_loss",
          "weight * cmr_to_ecg + (1 - weight) * ecg_to_cmr",
          "(1 - weight) * cmr_to_ecg + weight * ecg_to_cmr", "loss/cmr_to_ecg"),
    Fault("one direction twice", "clip_loss", "the columns are never used",
          "contrastive_loss.clip_loss", "logits.T", "logits", "loss/ecg_to_cmr"),
    Fault("sum over the batch", "clip_loss", "summed, not averaged over subjects",
          "contrastive_loss.clip_loss", "cmr_to_ecg = F.cross_entropy(logits, subject)",
          "cmr_to_ecg = F.cross_entropy(logits, subject, reduction='sum')", "loss/cmr_to_ecg"),
    Fault("CMR branch frozen", "clip_loss", "no gradient reaches the CMR",
          "contrastive_loss.clip_loss", "cosine_logits(z_cmr,", "cosine_logits(z_cmr.detach(),",
          "grad/z_cmr"),
    Fault("length as a constant", "clip_loss", "the gradient leaves out the normalisation",
          "contrastive_loss.unit_rows", "torch.where(has_direction, unit, unit.detach())",
          "z / torch.linalg.vector_norm(z.detach(), dim=-1, keepdim=True)", "grad/z_cmr"),
)

FAULTS = (*MASKING, *CLIP)
