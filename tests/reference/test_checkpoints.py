"""Files of weights: atomic, never executed, and the authors' formats with every way to be wrong."""

from __future__ import annotations

import argparse
import os
import pickle

import numpy as np
import pytest
import torch

from reference.checkpoints import encoder_from_autoencoder, load, load_authors_weights, save
from reference.encoders import CMREncoder, ECGEncoder
from reference.masked_modelling import MaskedAutoencoder
from tests.support.helpers import assert_close, assert_equal

INPUT, PATCH = (1, 12, 60), (1, 20)
CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def autoencoder(**options) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(INPUT, PATCH, 8, 2, 2, 4, 1, 4, **options).eval()


def encoder(pooling: str = "average", seed: int = 0, **options) -> ECGEncoder:
    torch.manual_seed(seed)
    return ECGEncoder(INPUT, PATCH, 8, 2, 2, pooling, **options).eval()


def resnet() -> CMREncoder:
    torch.manual_seed(0)
    model = CMREncoder("resnet10_narrow")
    model.train()(torch.rand(4, 3, 48, 48))  # running statistics that are not the initial ones
    return model.eval()


def record() -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).standard_normal((2, *INPUT)), dtype=torch.float32)


# --- save and load


def test_save_and_load(tmp_path):
    content = {"model": {"w": torch.arange(6.0).reshape(2, 3)}, "losses": [1.5, 2.5], "seed": 3,
               "name": "mdm", "scale": (0.6, 1.0), "best": float("nan"), "none": None}
    save(tmp_path / "a.pt", content)
    got = load(tmp_path / "a.pt")
    assert_equal("w", got["model"]["w"], content["model"]["w"])
    assert got["losses"] == [1.5, 2.5] and got["scale"] == (0.6, 1.0) and got["none"] is None
    assert os.listdir(tmp_path) == ["a.pt"]
    save(str(tmp_path / "a.pt"), {"seed": 4})
    assert load(str(tmp_path / "a.pt")) == {"seed": 4}


@pytest.mark.parametrize("crash", [RuntimeError("disk full"), KeyboardInterrupt()])
def test_a_crash_while_saving_leaves_the_old_file(tmp_path, monkeypatch, crash):
    save(tmp_path / "a.pt", {"seed": 1})

    def half(content, file):
        file.write(b"half a checkpoint")
        raise crash

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(type(crash)):
        save(tmp_path / "a.pt", {"seed": 2})
    monkeypatch.undo()
    assert load(tmp_path / "a.pt") == {"seed": 1}
    assert os.listdir(tmp_path) == ["a.pt"]


class Trap:
    """Pickles as a call that writes a file."""

    def __init__(self, victim):
        self.victim = str(victim)

    def __reduce__(self):
        return (exec, (f"open({self.victim!r}, 'w').close()",))


@pytest.mark.parametrize("old_torch", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path, monkeypatch, legacy,
                                                                old_torch):
    if old_torch:  # 2.4 has no context manager for safe globals
        monkeypatch.delattr(torch.serialization, "safe_globals", raising=False)
    victim = tmp_path / "victim"
    torch.save({"model": {"w": torch.zeros(2)}, "args": Trap(victim)}, tmp_path / "a.pt",
               _use_new_zipfile_serialization=not legacy)
    for read in (load, load_authors_weights):
        with pytest.raises(ValueError, match=r"refused.*never code"):
            read(tmp_path / "a.pt")
    assert not victim.exists()
    torch.load(tmp_path / "a.pt", weights_only=False)  # the trap is a real one
    assert victim.exists()


def test_a_plain_pickle_that_would_run_code_is_refused(tmp_path):
    victim = tmp_path / "victim"
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"model": Trap(victim)}, 2))
    with pytest.raises(ValueError, match="refused"):
        load_authors_weights(tmp_path / "a.pt")
    assert not victim.exists()


def test_a_trap_inside_a_namespace_is_refused(tmp_path):
    victim = tmp_path / "victim"
    torch.save({"model": {}, "args": argparse.Namespace(lr=Trap(victim))}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="refused"):
        load(tmp_path / "a.pt")
    assert not victim.exists()


@pytest.mark.parametrize("old_torch", [False, True])
def test_a_namespace_is_read_and_stays_refused_elsewhere(tmp_path, monkeypatch, old_torch):
    torch.save({"args": argparse.Namespace(lr=1e-5, model="mae")}, tmp_path / "a.pt")
    if old_torch:  # 2.4 has no context manager for it
        monkeypatch.delattr(torch.serialization, "safe_globals", raising=False)
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals([Trap])  # what a caller has allowed stays allowed
    try:
        assert load(tmp_path / "a.pt")["args"].lr == 1e-5
        assert set(torch.serialization.get_safe_globals()) == {*before, Trap}
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.pt", weights_only=True)


def test_damaged_files_are_refused(tmp_path):
    save(tmp_path / "a.pt", {"model": encoder().state_dict()})
    whole = (tmp_path / "a.pt").read_bytes()
    torch.save({"w": torch.arange(100.0)}, tmp_path / "l.pt", _use_new_zipfile_serialization=False)
    legacy = (tmp_path / "l.pt").read_bytes()
    pieces = [b"", b"x", b"\x80", b"PK\x03\x04", b"text, not weights", whole[:100], whole[:-40],
              whole[:len(whole) // 2]]
    pieces += [legacy[:n] for n in range(1, len(legacy) - 1, 37)]
    pieces += [legacy[:-404], legacy.replace(b"storage", b"storagf")]
    for piece in pieces:
        (tmp_path / "b.pt").write_bytes(piece)
        with pytest.raises(ValueError, match=r"b.pt was refused"):
            load(tmp_path / "b.pt")


def test_load_refuses_what_is_no_mapping_or_not_there(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list, a mapping is needed"):
        load(tmp_path / "list.pt")
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(FileNotFoundError, match="no checkpoint at"):
            load(path)


# --- the authors' files


def test_autoencoder_checkpoint_with_a_namespace(tmp_path):
    """As the authors write them: args is a Namespace, optimizer and scaler lie beside."""
    model = autoencoder()
    torch.save({"model": model.state_dict(), "optimizer": {"state": {}, "param_groups": []},
                "epoch": 399, "scaler": {"scale": 65536.0},
                "args": argparse.Namespace(lr=None, blr=1e-5, input_size=(1, 12, 2500))},
               tmp_path / "checkpoint-399.pth")
    got = load_authors_weights(tmp_path / "checkpoint-399.pth", heads=2, decoder_heads=4)
    assert isinstance(got, MaskedAutoencoder) and not got.training
    assert (got.input_size, got.patch_size, got.grid) == (INPUT, PATCH, (12, 3))
    noise = torch.rand(2, 36, generator=torch.Generator().manual_seed(0))
    assert_equal("prediction", got(record(), noise, 0.5)[1], model(record(), noise, 0.5)[1])
    assert got.blocks[0].attn.heads == 2 and got.decoder_blocks[0].attn.heads == 4
    assert not hasattr(got, "projector")
    both = autoencoder(consistency=True)
    assert hasattr(load_authors_weights(both.state_dict(), heads=2, decoder_heads=4), "projector")


@pytest.mark.parametrize("wrap", ["bare", "model", "state_dict", "both"])
@pytest.mark.parametrize("pooling", ["average", "attention", "cls"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_signal_encoder_in_every_wrapper(tmp_path, wrap, pooling, prefix):
    model = encoder(pooling)
    state = {prefix + name: value for name, value in model.state_dict().items()}
    source = {"bare": state, "model": {"model": state}, "state_dict": {"state_dict": state},
              "both": {"model": {"state_dict": state}}}[wrap]
    torch.save(source, tmp_path / "a.pt")
    for origin in (source, tmp_path / "a.pt", str(tmp_path / "a.pt")):
        got = load_authors_weights(origin, pooling=pooling, heads=2)
        assert isinstance(got, ECGEncoder) and not got.training and got.pooling == pooling
        assert_equal("features", got.features(record()), model.features(record()))


def test_signal_encoder_as_the_authors_publish_it():
    """No fc_norm, a norm that pooling does not use, perhaps a head."""
    model = encoder(outputs=3)
    state = {n: v for n, v in model.state_dict().items() if not n.startswith("fc_norm.")}
    state.update({"norm.weight": torch.full((8,), 9.0), "norm.bias": torch.full((8,), 9.0)})
    got = load_authors_weights(state, heads=2)
    assert_equal("features", got.features(record()), model.features(record()))
    assert_equal("head", got(record()), model(record()))
    assert_equal("fc_norm", got.fc_norm.weight, np.ones(8))
    cls = load_authors_weights({**state, "fc_norm.weight": torch.zeros(8)}, pooling="cls", heads=2)
    assert_equal("norm", cls.norm.weight, np.full(8, 9.0))
    attention = load_authors_weights(state, pooling="attention", heads=2)
    assert attention.attention_pool.num_heads == 2  # not in the file: fresh


def test_arrays_are_as_good_as_tensors():
    model = encoder()
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    got = load_authors_weights({"model": state, "epoch": 3}, heads=2)
    assert_equal("features", got.features(record()), model.features(record()))


def test_one_patch_may_be_the_whole_record():
    model = ECGEncoder((1, 12, 60), (12, 60), 8, 1, 2).eval()
    got = load_authors_weights(model.state_dict(), heads=2)
    assert (got.grid, got.patch_embed.input_size) == ((1, 1), (1, 12, 60))
    assert_equal("features", got.features(record()), model.features(record()))


def test_named_sizes_need_no_heads():
    full = ECGEncoder((1, 12, 200), (1, 100))
    assert load_authors_weights(full.state_dict()).blocks[0].attn.heads == 6
    assert load_authors_weights(full.state_dict(), heads=4).blocks[0].attn.heads == 4
    full = MaskedAutoencoder((1, 12, 200), (1, 100))
    got = load_authors_weights(full.state_dict())
    assert (got.blocks[0].attn.heads, got.decoder_blocks[0].attn.heads) == (6, 8)


@pytest.mark.parametrize("prefix", ["encoder_imaging.", ""])
@pytest.mark.parametrize("numbered", [True, False])
def test_image_encoder(tmp_path, prefix, numbered):
    model = resnet()
    state = {}
    for name, value in model.state_dict().items():
        child, rest = name.split(".", 1)
        state[f"{prefix}{CHILDREN[child] if numbered else child}.{rest}"] = value
    state["projector_imaging.0.weight"] = torch.zeros(2, 2)  # the authors' files hold more
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.ckpt")
    got = load_authors_weights(tmp_path / "a.ckpt")
    image = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert isinstance(got, CMREncoder) and got.arch == "resnet10_narrow" and not got.training
    assert_equal("features", got.features(image), model.features(image))


# --- what is refused


def broken(name: str, value) -> dict:
    """An average-pooled encoder's state with one entry changed (None: taken away)."""
    state = dict(encoder().state_dict())
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


@pytest.mark.parametrize("name, value, words", [
    ("blocks.1.attn.qkv.bias", None, "missing ['blocks.1.attn.qkv.bias']"),
    ("cls_token", None, "missing ['cls_token']"), ("pos_embed", None, "width], got nothing"),
    ("pos_embed", torch.zeros(1, 38, 8), "37 tokens of 1 leads do not make 12 leads"),
    ("pos_embed", torch.zeros(8), "[1, 1 + tokens, width], got [8]"),
    ("patch_embed.proj.weight", torch.zeros(8, 20), "channels, leads, samples], got [8, 20]"),
    ("patch_embed.proj.weight", torch.zeros(8, 1, 0, 20), "got [8, 1, 0, 20]"),
    ("pos_embed", torch.zeros(1, 1, 8), "0 tokens of 1 leads"), ("head.weight", torch.ones(8),
                                                                 "[outputs, width], got [8]"),
    ("patch_embed.proj.weight", torch.zeros(8, 1, 5, 20), "36 tokens of 5 leads"),
    ("patch_embed.proj.weight", torch.zeros(8, 1, 13, 20), "36 tokens of 13 leads"),
    ("blocks.x.norm", torch.zeros(1), "blocks.x.norm"),
    ("extra.weight", torch.zeros(1), "left over ['extra.weight']"),
    ("blocks.1.mlp.fc1.weight", torch.zeros(32, 9), "must be [32, 8], got [32, 9]"),
    ("cls_token", torch.zeros(1, 1, 4), "cls_token must be [1, 1, 8], got [1, 1, 4]")])
def test_signal_states_that_do_not_fit_are_refused(name, value, words):
    with pytest.raises(ValueError) as error:
        load_authors_weights(broken(name, value), heads=2)
    assert words in str(error.value)


@pytest.mark.parametrize("missing", ["decoder_embed.weight", "decoder_blocks.0", "mask_token",
                                     "blocks."])
def test_autoencoder_states_that_do_not_fit_are_refused(missing):
    state = {n: v for n, v in autoencoder().state_dict().items() if not n.startswith(missing)}
    with pytest.raises(ValueError, match=missing.split(".")[0]):
        load_authors_weights(state, heads=2, decoder_heads=4)


def test_head_counts_are_demanded():
    with pytest.raises(ValueError, match=r"\(8, 2\) is none of the named sizes.*pass heads="):
        load_authors_weights(encoder().state_dict())
    with pytest.raises(ValueError, match="pass heads="):
        load_authors_weights(autoencoder().state_dict(), decoder_heads=4)
    with pytest.raises(ValueError, match=r"\(4, 1\) is none of the named.*pass decoder_heads="):
        load_authors_weights(autoencoder().state_dict(), heads=2)
    with pytest.raises(ValueError, match="8 is not a multiple of 3"):
        load_authors_weights(encoder().state_dict(), heads=3)


@pytest.mark.parametrize("pooling", ["average", "cls"])
def test_attention_pooling_is_not_dropped_silently(pooling):
    with pytest.raises(ValueError, match=f"pass pooling='attention' .got '{pooling}'"):
        load_authors_weights(encoder("attention").state_dict(), pooling=pooling, heads=2)


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="got 'max'"):
        load_authors_weights(encoder().state_dict(), pooling="max", heads=2)


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_image_states_that_do_not_fit_are_refused(change):
    state = dict(resnet().state_dict())
    state.pop("bn1.bias")
    if change == "shape":
        state["bn1.bias"] = torch.zeros(17)
    with pytest.raises(ValueError, match=r"image tensors fit none of.*resnet50"):
        load_authors_weights(state)


@pytest.mark.parametrize("source, error, words", [
    ({"linear.weight": torch.zeros(2, 2)}, ValueError, r"belong to no.*linear.weight"),
    ({}, ValueError, "no tensors among"), ({"epoch": 3, "args": None}, ValueError, "args"),
    ([torch.zeros(1)], TypeError, "got list"), (None, TypeError, "got NoneType")])
def test_sources_that_are_no_weights_are_refused(source, error, words):
    with pytest.raises(error, match=words):
        load_authors_weights(source)


# --- from stage 1 to stage 2


@pytest.mark.parametrize("pooling", ["average", "attention", "cls"])
def test_encoder_from_autoencoder(pooling):
    source = autoencoder()
    with torch.no_grad():
        source.norm.weight += 1
    got = encoder_from_autoencoder(source, pooling, outputs=4).eval()
    assert_equal("heads", got.blocks[0].attn.heads, 2)
    assert got.pos_embed.requires_grad and got.head.out_features == 4
    latent = source.encode_all(record())
    if pooling == "cls":
        assert_close("features", got.features(record()), latent[:, 0], atol=1e-6)
    else:
        assert_equal("fresh norm", got.fc_norm.weight, np.ones(8))
        assert_close("tokens", source.norm(got.all_tokens(record())), latent, atol=1e-6)
    with torch.no_grad():
        got.cls_token += 1  # a copy: the source keeps its own
    assert_equal("source", source.encode_all(record()), latent)
