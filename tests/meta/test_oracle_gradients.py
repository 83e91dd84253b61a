"""The oracle's gradients, derived by hand, against central finite differences."""

import numpy as np
import pytest

from tests.oracle import autoencoder, layers, losses, masked_losses, networks, resnet, transformer
from tests.oracle.cases import losses as loss_cases
from tests.oracle.layers import Net

STEP = 1e-5  # the error of a difference is about STEP^2

ENCODER = {"input_size": (1, 2, 9), "patch_size": (1, 3), "dim": 4, "depth": 1}
POSITIONS = {"pos_embed": (1, 7, 4)}
DECODER = {"input_size": (1, 2, 9), "patch_size": (1, 3), "dim": 3, "decoder_dim": 4,
           "decoder_depth": 1}
RUNNING = {"n.running_mean": (3,), "n.running_var": (3,)}
PROJECTOR = {**networks.linear_shapes("projector.0", 3, 4, bias=False),
             **networks.linear_shapes("projector.3", 4, 3, bias=False),
             **networks.norm_shapes("projector.1", 4),
             "projector.1.running_mean": (4,), "projector.1.running_var": (4,),
             "projector.4.running_mean": (3,), "projector.4.running_var": (3,)}
PREDICTOR = {**networks.linear_shapes("predictor.0", 3, 4, bias=False),
             **networks.linear_shapes("predictor.3", 4, 3, bias=False),
             **networks.norm_shapes("predictor.1", 4),
             "predictor.1.running_mean": (4,), "predictor.1.running_var": (4,)}

# name: input shape, parameter shapes, layer, in training
LAYERS = {
    "linear": ((2, 3, 4), networks.linear_shapes("l", 4, 5),
               lambda net, x: layers.linear(net, "l", x), False),
    "layer norm": ((2, 3, 4), networks.norm_shapes("n", 4),
                   lambda net, x: layers.layer_norm(net, "n", x), False),
    "gelu": ((3, 4), {}, lambda net, x: layers.gelu(x), False),
    "relu": ((3, 4), {}, lambda net, x: layers.relu(x), False),
    "softmax": ((3, 4), {}, lambda net, x: layers.softmax(x), False),
    "convolution": ((2, 3, 5, 6), {"c.weight": (4, 3, 3, 3)},
                    lambda net, x: layers.conv2d(net, "c", x, 2, 1), False),
    "convolution 1 x 1": ((2, 3, 4, 5), {"c.weight": (4, 3, 1, 1)},
                          lambda net, x: layers.conv2d(net, "c", x, 2), False),
    "batch norm, training": ((2, 3, 4, 5), {**networks.norm_shapes("n", 3), **RUNNING},
                             lambda net, x: layers.batch_norm(net, "n", x), True),
    "batch norm, evaluation": ((2, 3, 4, 5), {**networks.norm_shapes("n", 3), **RUNNING},
                               lambda net, x: layers.batch_norm(net, "n", x), False),
    "batch norm without weight": ((5, 3), RUNNING,
                                  lambda net, x: layers.batch_norm(net, "n", x), True),
    "max pool": ((2, 3, 5, 6), {}, lambda net, x: layers.max_pool(x), False),
    "average pool": ((2, 3, 4, 5), {}, lambda net, x: layers.average_pool(x), False),
    "position interpolation": ((1, 11, 3), {},
                               lambda net, x: transformer.position_interpolation(x, 2, 7), False),
    "patch embedding": ((2, 3, 4, 6), {"p.weight": (5, 3, 2, 3), "p.bias": (5,)},
                        lambda net, x: transformer.patch_embedding(net, "p", x), False),
    "attention": ((2, 3, 4), networks.attention_shapes("", 4),
                  lambda net, z: transformer.attention(net, "", z, 2), False),
    "mlp": ((2, 3), {**networks.linear_shapes("fc1", 3, 5), **networks.linear_shapes("fc2", 5, 3)},
            lambda net, z: transformer.mlp(net, "", z), False),
    "block": ((2, 3, 4), networks.block_shapes("", 4),
              lambda net, z: transformer.block(net, "", z, 2), False),
    "masked encoder": ((2, *ENCODER["input_size"]),
                       {**networks.embedding_shapes(ENCODER), **POSITIONS,
                        **networks.norm_shapes("norm", 4)},
                       lambda net, x: transformer.encoder(
                           net, x, 2, np.random.default_rng(0).random((2, 6)), 0.5), False),
    "average pooling": ((2, 3, 4), networks.pool_shapes("average", 4),
                        lambda net, z: transformer.pooled(net, z, "average", 2), False),
    "attention pooling": ((2, 3, 4), networks.pool_shapes("attention", 4),
                          lambda net, z: transformer.pooled(net, z, "attention", 2), False),
    "class token": ((2, 3, 4), networks.pool_shapes("cls", 4),
                    lambda net, z: transformer.pooled(net, z, "cls", 2), False),
    "decoder": ((2, 4, 3), {**networks.decoder_shapes(DECODER), "decoder_pos_embed": (1, 7, 4)},
                lambda net, z: autoencoder.decoder(
                    net, z, np.array([[0, 4, 1, 5, 2, 3], [5, 4, 3, 2, 1, 0]]), 2), False),
    "projector": ((5, 3), PROJECTOR, lambda net, h: autoencoder.projector(net, h), True),
    "predictor": ((5, 3), PREDICTOR, lambda net, z: autoencoder.predictor(net, z), True),
    "pooled stem": ((2, 3, 9, 11), networks.stem_shapes(2, 7),
                    lambda net, x: resnet.stem(net, x, True), True),
    "basic block": ((2, 3, 4, 5), networks.residual_shapes("", 3, 4, 2, False),
                    lambda net, x: resnet.residual_block(net, "", x, 2), True),
    "bottleneck": ((2, 8, 3, 4), networks.residual_shapes("", 8, 2, 1, True),
                   lambda net, x: resnet.residual_block(net, "", x, 1), True),
    "projection": ((5, 4), {**networks.linear_shapes("0", 4, 3),
                            **networks.linear_shapes("2", 3, 2)},
                   lambda net, h: transformer.projection(net, "", h), False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_backward_is_the_derivative(name):
    shape, shapes, layer, training = LAYERS[name]
    rng = np.random.default_rng(5)
    values = {"x": rng.standard_normal(shape)}
    for key, size in shapes.items():
        values[key] = 1 + rng.random(size) if "var" in key else rng.standard_normal(size)

    def run():
        net = Net(values, training)
        return net, *layer(net, values["x"])[:2]

    net, y, back = run()
    direction = rng.standard_normal(y.shape)
    grads = {"x": back(direction), **net.grads}
    fixed = ("running", "decoder_pos_embed")
    assert set(grads) == {key for key in values if not any(word in key for word in fixed)}
    for key, grad in grads.items():
        assert grad.shape == values[key].shape
        for place in rng.choice(grad.size, min(grad.size, 9), replace=False):
            index, keep = np.unravel_index(place, grad.shape), values[key].copy()
            sums = []
            for sign in (1, -1):
                values[key] = keep.copy()
                values[key][index] += sign * STEP
                sums.append((run()[1] * direction).sum())
            values[key] = keep
            slope = (sums[0] - sums[1]) / (2 * STEP)
            assert abs(slope - grad[index]) < 1e-8 * max(1.0, np.abs(grad).max()), (key, index)


# ---- of the losses ----

CONSTANT = {"byol_loss": ("t0", "t1"), "negative_cosine": ("target",)}  # by the loss's definition
LOSS_STEP = {"cross_correlation_constant": 1e-9,  # bends within 1e-6, the root of its epsilon
             "barlow_twins_loss": 1e-6}  # one dimension varies by 0.02 only
GRADIENTS = [(case, name.split("/")[1]) for case, _ in loss_cases.build()
             for name in case.entries if name.startswith("grad/")
             and case.name != "clip_loss_zero_row"  # no derivative at 0
             and name.split("/")[1] not in CONSTANT.get(case.component, ())]


@pytest.mark.parametrize("case, name", GRADIENTS, ids=[f"{c.name}-{n}" for c, n in GRADIENTS])
def test_gradients_are_central_differences(case, name):
    function = getattr(losses, case.component, None) or getattr(masked_losses, case.component)
    given, step = case.given("in"), LOSS_STEP.get(case.name, 1e-5)
    at, grad = given[name], case.tensors[f"grad/{name}"]
    for direction in np.random.default_rng(0).standard_normal((3, *at.shape)):
        ahead, behind = (function(**{**given, name: at + side * step * direction}, **case.config)
                         for side in (1, -1))
        slope = (ahead["loss/total"] - behind["loss/total"]) / (2 * step)
        assert abs(slope - (grad * direction).sum()) <= 1e-6 * max(np.linalg.norm(grad), 1e-3)
