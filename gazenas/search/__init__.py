"""The search: unit groups, penalty, shrink, freeze, recalibrate, and the job that uses them.

A search is run by :class:`gazenas.search.searching.Search`; the functions here also serve one's own training loop.
"""

from gazenas.models.freezing import freeze
from gazenas.search.recalibration import recalibrate
from gazenas.search.regularization import penalty
from gazenas.search.shrinking import ShrinkReport, shrink
from gazenas.search.units import UnitGroup, unit_groups

__all__ = ["ShrinkReport", "UnitGroup", "freeze", "penalty", "recalibrate", "shrink", "unit_groups"]
