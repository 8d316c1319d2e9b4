"""What a quantity is: something that every part of a network takes, so that a unit has a cost and a search may have a
budget.

A :class:`Quantity` is what is true of all networks; a :class:`Resource` is a quantity of one network, with what no
shrink can change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gazenas.costs.widths import empty_widths
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths, Part
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import SearchSpace
from gazenas.training.processes import World

CostMetric = Callable[[Part, NetworkWidths], float]
Samples = Sequence[tuple[NetworkWidths, float]]
LEAST_SPAN = 1e-6  # that networks measured whole take above the one of no units, whatever noise says


@dataclass(frozen=True)
class FromTable:
    """A quantity that goes by a table, which a person may give.

    Attributes:
        help: of ``--NAME-table``.
        load: the quantity by the table in a file, or, for an empty path, by its own table for a space. Several
            processes take what rank 0 had to measure.
    """

    help: str
    load: Callable[[str, SearchSpace, World], Quantity]


@dataclass(frozen=True)
class Quantity:
    """Something that a network takes.

    Attributes:
        name: its key in ``gazenas.costs.COSTS``, for ``--cost``.
        unit: the word after an amount.
        amount: of a part at given widths. What a unit costs is the difference that it makes to this.
        budget: the word of ``--target-WORD``; empty for a mere cost. A budget needs ``whole`` or ``samples``.
        help: of ``--target-WORD``.
        whole: of a network as it stands, once frozen: what its parts do not take of it is the same at all widths.
        samples: where amounts of parts are estimates: widths of networks that were measured whole, and what each takes;
            the first is the one of no units. The sum over parts above it is scaled by one factor so that it agrees with
            all others together.
        measure: exactly, of an architecture, where that takes a second: a budget is met by it in the end.
        integral: whether amounts are whole numbers.
        channel_multiple: the number of channels for which amounts are true; 1 where they are true of any.
        table: of what it goes by one.
    """

    name: str
    unit: str
    amount: CostMetric
    budget: str = ""
    help: str = ""
    whole: Callable[[Network], float] | None = None
    samples: Callable[[Network], Samples] | None = None
    measure: Callable[[Architecture], float] | None = None
    integral: bool = True
    channel_multiple: int = 1
    table: FromTable | None = None

    def of(self, network: Network) -> Resource:
        """What ``network`` takes of it at any widths.

        Raises:
            ValueError: of a mere cost.
        """
        bare = Resource(self, 0.0)
        if self.samples is not None:
            return _fitted(self, network, self.samples(network))
        if self.whole is None:
            raise ValueError(f"{self.name}: expected a quantity with a budget, found a mere cost")
        return Resource(self, self.whole(network) - bare.total(network, network.widths()))


@dataclass(frozen=True)
class Resource:
    """A quantity of one network, as a fixed amount and one for each of its parts.

    Attributes:
        quantity: what is taken.
        fixed: of what no shrink can change.
        factor: on what the parts take.
        checks: for networks that were measured whole, the sum over the measured amount, where a factor had to fit
            several.
    """

    quantity: Quantity
    fixed: float
    factor: float = 1.0
    checks: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The word of its budget."""
        return self.quantity.budget

    @property
    def unit(self) -> str:
        """The word after an amount."""
        return self.quantity.unit

    def amount(self, part: Part, widths: NetworkWidths) -> float:
        """What a part takes with ``widths``."""
        return self.factor * self.quantity.amount(part, widths)

    def total(self, network: Network, widths: NetworkWidths) -> float:
        """What ``network`` takes with ``widths``."""
        return self.fixed + sum(self.amount(part, widths) for part in network.parts().values())

    def floor(self, network: Network) -> float:
        """What ``network`` takes with every unit gone that can go."""
        return self.total(network, empty_widths(network))


def _fitted(quantity: Quantity, network: Network, samples: Samples) -> Resource:
    """The resource that is right of the network of no units, and of all other samples together."""
    (none, least), *others = samples
    inside = Resource(quantity, 0.0).total(network, none)
    plain = Resource(quantity, least - inside)
    spans = sum(plain.total(network, widths) - least for widths, _ in others)
    factor = max(sum(amount - least for _, amount in others), LEAST_SPAN) / spans
    fitted = Resource(quantity, plain.fixed + inside * (1 - factor), factor)
    if len(others) < 2:
        return fitted
    return Resource(
        quantity,
        fitted.fixed,
        factor,
        tuple(fitted.total(network, widths) / amount for widths, amount in others),
    )
