"""Operators: the searchable paths of a search block, one a file.

``OPS`` maps the names used in a search space to classes; a new operator is one file and one line here.
"""

from gazenas.ops.mixconv import MixConv
from gazenas.ops.tokens import TokenTransformer
from gazenas.ops.units import Operator

OPS: dict[str, type[Operator]] = {
    "mixconv": MixConv,
    "tokens": TokenTransformer,
}
