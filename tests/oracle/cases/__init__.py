"""Cases of the golden vectors, by kind; `MODULES` in the order in which they are written."""

from tests.oracle.cases import (
    autoencoder,
    functions,
    losses,
    metrics,
    networks,
    resnet,
    signals,
    steps,
)

MODULES = (functions, losses, signals, metrics, networks, autoencoder, resnet, steps)
