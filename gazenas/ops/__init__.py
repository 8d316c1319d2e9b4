"""Operators: the searchable paths of a search block, one a file.

``OPS`` maps the names used in a search space to classes; a new operator is one file and one line here.
"""

from typing import Any

from torch import nn

from gazenas.ops.conv import ConvPair
from gazenas.ops.mixconv import MixConv
from gazenas.ops.operator import Operator
from gazenas.ops.tokens import TokenTransformer

OPS: dict[str, type[Operator]] = {
    "mixconv": MixConv,
    "tokens": TokenTransformer,
    "conv": ConvPair,
}


def build_operator(name: str, **numbers: Any) -> nn.Module:
    """An operator of ``OPS``, which keeps the protocol and is a module.

    Args:
        name: key of ``OPS``.
        numbers: what ``Operator.__init__`` takes.
    """
    built = OPS[name](**numbers)
    assert isinstance(built, nn.Module), f"{name}: expected a module, found {type(built).__name__}"
    return built
