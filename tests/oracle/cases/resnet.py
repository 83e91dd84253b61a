"""Cases of the residual network: batch norm, stem, blocks, the narrow network as a whole."""

from __future__ import annotations

from tests.oracle import layers, resnet
from tests.oracle.drafts import Collection, Draft
from tests.oracle.networks import (
    Shapes,
    batch_norm_shapes,
    directed,
    drawn,
    image,
    narrow_resnet_shapes,
    net_of,
    noted,
    parameters,
    residual_shapes,
    sampled,
    stem_shapes,
)

_CASES = Collection(first_seed=2200)
case, build = _CASES.case, _CASES.build


def _layer(rng, component: str, config: dict, shapes: Shapes, x, layer, size: tuple[int, ...]
           ) -> Draft:
    """A layer of images in training or evaluation; in training its running statistics after."""
    given = {"in/x": x, "in/direction": drawn(rng, *size), **parameters(rng, shapes)}
    net = net_of(given, config["training"])
    y, back = layer(net, x.value())
    results = directed(net, y, back, given["in/direction"].value())
    statistics = {f"out/{name}": value for name, value in net.statistics.items()}
    middle = noted(net) if component in ("cmr_stem", "basic_block", "bottleneck") else {}
    results = {**middle, "out/y": results.pop("out/y"), **statistics, **results}
    return Draft(component, config, given, results, {}, sampled(results, 100))


# ---- batch norm and stem ----

def _batch_norm(rng, training: bool) -> Draft:
    return _layer(rng, "batch_norm", {"width": 3, "training": training},
                  batch_norm_shapes("bn1", 3), image(rng, 2, 3, 4, 5),
                  lambda net, x: layers.batch_norm(net, "bn1", x), (2, 3, 4, 5))


@case
def batch_norm_training(rng):
    """By the batch; the running variance is unbiased."""
    return _batch_norm(rng, training=True)


@case
def batch_norm_evaluation(rng):
    """By the running statistics."""
    return _batch_norm(rng, training=False)


@case
def cmr_stem(rng):
    """7 x 7 convolution to 20 x 15 cells, then pooling to 10 x 8."""
    return _layer(rng, "cmr_stem", {"arch": "resnet18", "training": True}, stem_shapes(64, 7),
                  image(rng, 2, 3, 39, 29), lambda net, x: resnet.stem(net, x, True),
                  (2, 64, 10, 8))


@case
def cmr_stem_small_images(rng):
    """3 x 3 convolution, no pooling."""
    return _layer(rng, "cmr_stem", {"arch": "resnet10_narrow", "training": False},
                  stem_shapes(16, 3), image(rng, 2, 3, 22, 17),
                  lambda net, x: resnet.stem(net, x, False), (2, 16, 11, 9))


# ---- blocks ----

def _block(rng, component: str, inputs: int, width: int, stride: int, training: bool,
           cells: tuple[int, int]) -> Draft:
    bottleneck = component == "bottleneck"
    size = (2, width * (4 if bottleneck else 1), *((n - 1) // stride + 1 for n in cells))
    config = {"inputs": inputs, "width": width, "stride": stride, "training": training}
    return _layer(rng, component, config, residual_shapes("", inputs, width, stride, bottleneck),
                  image(rng, 2, inputs, *cells),
                  lambda net, x: resnet.residual_block(net, "", x, stride), size)


@case
def basic_block(rng):
    """The shortcut is the input."""
    return _block(rng, "basic_block", 5, 5, 1, True, (7, 9))


@case
def basic_block_strided(rng):
    """Half the size, another width."""
    return _block(rng, "basic_block", 5, 7, 2, False, (8, 12))


@case
def basic_block_strided_training(rng):
    """The same with the statistics of the batch."""
    return _block(rng, "basic_block", 5, 7, 2, True, (8, 12))


@case
def bottleneck(rng):
    """The shortcut is the input."""
    return _block(rng, "bottleneck", 16, 4, 1, False, (5, 7))


@case
def bottleneck_strided(rng):
    """The stride is on the 3 x 3 convolution."""
    return _block(rng, "bottleneck", 6, 4, 2, True, (9, 13))


# ---- whole ----

def _cmr_encoder(rng, training: bool) -> Draft:
    given = {"in/x": image(rng, 2, 3, 46, 66), "in/direction": drawn(rng, 2, 128),
             **parameters(rng, narrow_resnet_shapes())}
    net = net_of(given, training)
    y, first = resnet.feature_map(net, given["in/x"].value(), pooled=False)
    h, second = layers.average_pool(y)
    statistics = {f"out/{name}": value for name, value in net.statistics.items()}
    results = {**noted(net, *(f"layer{stage}" for stage in range(1, 5))), **statistics,
               **directed(net, h, layers.chain(first, second), given["in/direction"].value())}
    return Draft("cmr_encoder", {"arch": "resnet10_narrow", "training": training}, given, results,
                 {}, sampled(results, 40))


@case
def cmr_encoder(rng):
    """In evaluation."""
    return _cmr_encoder(rng, training=False)


@case
def cmr_encoder_training(rng):
    """In training: statistics of the batch, running ones after."""
    return _cmr_encoder(rng, training=True)
