"""Importance scores of units: what the ranking of a search goes by.

``IMPORTANCES`` maps the names used on the command line to functions of a network, of running means of
``(alpha * dL/dalpha)^2`` by unit group, and of unit costs by unit group. Each gives, by group, ``(n,)`` numbers that
are not negative; the lowest scores for their cost leave first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from gazenas.models.network import Network
from gazenas.search.importance.alpha import alpha_score
from gazenas.search.importance.contribution import contribution_score
from gazenas.search.importance.taylor import taylor_score

IMPORTANCES: dict[str, Callable[[Network, Mapping[str, Tensor], Mapping[str, float]], dict[str, Tensor]]] = {
    "alpha": alpha_score,
    "contribution": contribution_score,
    "taylor": taylor_score,
}
