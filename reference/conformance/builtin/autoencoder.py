"""The built-in adapter, stage 1: decoder, masked autoencoder, agreement of two views."""

from __future__ import annotations

from reference.conformance.builtin.networks import directed, in_order, module_of
from reference.conformance.builtin.tools import Results, arrays, gradients, leaves, tensors
from reference.conformance.vectors import Case
from reference.masked_modelling import MaskedAutoencoder
from reference.masking import random_mask


def _model(case: Case, dtype: str, unused: tuple[str, ...] = ()) -> MaskedAutoencoder:
    options = {name: value for name, value in case.config.items() if name != "ratio"}
    return module_of(case, dtype, lambda: MaskedAutoencoder(**options), unused)


def decoder(case: Case, dtype: str) -> Results:
    """Decoder on a given latent."""
    given, noise = leaves(case, dtype), tensors(case, "noise", dtype)["mask"]
    model = _model(case, dtype, ("cls_token", "pos_embed", "patch_embed", "blocks", "norm"))
    mask = random_mask(noise, case.config["ratio"])
    return directed(case, model, given, lambda: model.decode(given["latent"], mask),
                    mid__restore=mask.restore)


def masked_autoencoder(case: Case, dtype: str) -> Results:
    """One masked pass, its loss and the gradients by the parameters."""
    x, noise = leaves(case, dtype)["x"], tensors(case, "noise", dtype)["mask"]
    model, ratio = _model(case, dtype), case.config["ratio"]
    latent, _ = model.encode(x, noise, ratio)
    loss, prediction, mask = model(x, noise, ratio)
    results = {**arrays(mid__keep=mask.keep, mid__mask=mask.mask, mid__latent=latent,
                        out__prediction=prediction, loss__total=loss),
               **gradients(case, loss, dict(model.named_parameters()))}
    return in_order(case, results)


def consistency(case: Case, dtype: str) -> Results:
    """Agreement of two views, and what the batch norms have seen.

    Args, Returns: as every component.
    """
    given, D = leaves(case, dtype), case.config["dim"]
    model = module_of(case, dtype, lambda: MaskedAutoencoder(
        (1, 1, 1), (1, 1), D, 0, 1, 4, 0, 1, consistency=True),
        ("cls_token", "pos_embed", "patch_embed", "norm", "decoder", "mask_token"))
    found = model.consistency_loss(**given)
    statistics = {f"out__{name}": value.clone() for name, value in model.named_buffers()}
    z2 = model.projector(given["latent2"][:, 1:].mean(dim=1))
    p1 = model.predictor(model.projector(given["latent"][:, 1:].mean(dim=1)))
    results = {**arrays(mid__p1=p1, mid__z2=z2, out__cosine=found["cosine"],
                        out__spread=found["spread"], loss__total=found["loss"], **statistics),
               **gradients(case, found["loss"], {**given, **dict(model.named_parameters())})}
    return in_order(case, results)


COMPONENTS = {function.__name__: function for function in (
    decoder, masked_autoencoder, consistency)}
