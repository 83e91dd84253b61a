"""This library as its own port: one function a component, for porters to compare with.

COMPONENTS maps the name of a component to its function (case, dtype) -> {vector name: array}. To
add one, write it in the file of its kind, enter it there and give it a case in tests/oracle/cases.
"""

from reference.conformance.builtin import (
    autoencoder,
    functions,
    losses,
    metrics,
    networks,
    resnet,
    signals,
    steps,
)

PARTS = (functions, losses, metrics, networks, autoencoder, resnet, signals, steps)
COMPONENTS = {name: function for part in PARTS for name, function in part.COMPONENTS.items()}
