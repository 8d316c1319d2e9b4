"""Quantities: what a network takes, one a file.

``COSTS`` maps the names used on the command line to quantities. What a unit saves (``--cost NAME``), what a network
takes, what must remain of it, and a budget (``--target-WORD``) follow from an entry; a new quantity is one file and one
line here.
"""

from gazenas.costs.energy import ENERGY
from gazenas.costs.latency.cost import LATENCY
from gazenas.costs.macs import MACS
from gazenas.costs.paper import PAPER
from gazenas.costs.params import PARAMS
from gazenas.costs.quantity import CostMetric, FromTable, Quantity
from gazenas.costs.size import SIZE

__all__ = ["COSTS", "CostMetric", "Quantity", "budgets", "tables"]

COSTS: dict[str, Quantity] = {
    "macs": MACS,
    "params": PARAMS,
    "size": SIZE,
    "latency": LATENCY,
    "energy": ENERGY,
    "paper": PAPER,
}


def budgets() -> dict[str, Quantity]:
    """The quantities that a search may have a budget of, by the word of ``--target-WORD``."""
    return {quantity.budget: quantity for quantity in COSTS.values() if quantity.budget}


def tables() -> dict[str, FromTable]:
    """Of the quantities that go by a table how it is read, by name: ``--NAME-table`` gives another one."""
    return {name: quantity.table for name, quantity in COSTS.items() if quantity.table is not None}
