"""Operators: the searchable paths of a search block, one a file.

``OPS`` maps the names used in a search space to classes; a new operator is one file and one line here.
"""

from typing import Any

from gazenas.ops.conv import ConvPair
from gazenas.ops.mixconv import MixConv
from gazenas.ops.tokens import TokenTransformer

# Classes that keep the protocol ``gazenas.ops.operator.Operator``.
OPS: dict[str, Any] = {
    "mixconv": MixConv,
    "tokens": TokenTransformer,
    "conv": ConvPair,
}
