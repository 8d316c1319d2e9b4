"""What a search has to stay under: MACs, parameters, bytes or milliseconds of the network, alone or together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gazenas.costs import CostMetric
from gazenas.costs.latency.table import LatencyTable
from gazenas.costs.macs import macs
from gazenas.costs.params import params
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths
from gazenas.space.search_space import CHANNEL, STREAM

FACTORS = {"%": 0.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Resource:
    """One thing that a network takes, as a fixed amount and one for each of its parts.

    Attributes:
        name: ``macs``, ``params``, ``size`` or ``ms``.
        fixed: of what no shrink can change.
        of_part: of a part at given widths.
        channel_multiple: the number of channels for which it is true; 1 where it is true of any.
        factor: on what the parts take above the network of no units.
        checks: for networks that were measured whole, this resource's amount over the measured one.
    """

    name: str
    fixed: float
    of_part: CostMetric
    channel_multiple: int = 1
    factor: float = 1.0
    checks: tuple[float, ...] = ()

    def total(self, network: Network, widths: NetworkWidths) -> float:
        """What ``network`` takes with ``widths``."""
        return self.fixed + sum(self.amounts(network, widths).values())

    def amounts(self, network: Network, widths: NetworkWidths) -> dict[str, float]:
        """What each part takes with ``widths``."""
        return {name: self.factor * self.of_part(part, widths) for name, part in network.parts().items()}

    def stretched(self, network: Network, factor: float) -> Resource:
        """The same with everything above the network of no units times ``factor``."""
        inside = self.total(network, empty_widths(network)) - self.fixed
        return replace(self, fixed=self.fixed + inside * (1 - factor), factor=self.factor * factor)


def macs_resource(network: Network) -> Resource:
    """MACs of one image."""
    inside = Resource("macs", 0, macs).total(network, network.widths())
    return Resource("macs", count_macs(network, network.input_size) - inside, macs)


def params_resource(network: Network) -> Resource:
    """Parameters of the frozen network."""
    inside = Resource("params", 0, params).total(network, network.widths())
    return Resource("params", count_params(freeze(network)) - inside, params)


def ms_resource(network: Network, table_file: str = "") -> Resource:
    """Milliseconds of onnxruntime on one thread for one image, by a lookup table.

    The network of no units counts as it was measured. The sum over parts above it is scaled by one factor, so that it agrees on the
    whole with the full network and some thinned ones, measured too; how well it fits each of them is in ``checks``.

    Args:
        network: of the space.
        table_file: a table, or empty for this machine's, measured now where there is none yet.

    Raises:
        InputError: where the file is no table, or one of another space.
    """
    from gazenas.costs.latency import measurement as kit  # onnxruntime, for this alone

    space = network.space
    table = LatencyTable.load(Path(table_file)) if table_file else kit.machine_table(kit.space_models(space))
    wholes = kit.whole_networks(space)
    measured = {which: table.net(kit.network_key(space, which)) for which in wholes}
    floor = measured.pop("empty")
    bare = Resource("ms", 0.0, table.part, table.channel_multiple)
    plain = replace(bare, fixed=floor - bare.total(network, empty_widths(network)))
    sums = sum(plain.total(network, wholes[which].kept) - floor for which in measured)
    scaled = plain.stretched(network, max(sum(ms - floor for ms in measured.values()), 1e-6) / sums)
    return replace(scaled, checks=tuple(scaled.total(network, wholes[w].kept) / ms for w, ms in measured.items()))


def empty_widths(network: Network) -> dict[str, dict[str, dict[str, int]]]:
    """Units by block, operator and group with every unit gone that can go."""
    least = {CHANNEL: network.space.least_stream_width}
    return {
        name: {
            operator: least if operator == STREAM else dict.fromkeys(groups, 0) for operator, groups in block.items()
        }
        for name, block in network.widths().items()
    }


def parse_amount(text: str, full: float, flag: str, example: str = "12000000, 12M, 1.2G or 40%") -> float:
    """An amount from ``12000000``, ``12M``, ``1.2G`` or ``40%`` of ``full``.

    Raises:
        InputError: naming ``flag``, where the text is none of these.
    """
    unit = text[-1:] if text[-1:] in FACTORS else ""
    try:
        value = float(text.removesuffix(unit)) * (full / 100 if unit == "%" else FACTORS.get(unit, 1.0))
    except ValueError:
        raise InputError(f"{flag}: expected {example}, found {text!r}") from None
    if not 0 < value < 1e18:
        raise InputError(f"{flag}: expected a positive number, found {text!r}")
    return value


def check_target(network: Network, resource: Resource, target: float, flag: str) -> None:
    """Checks that a target lies between what must remain and the supernet.

    Raises:
        InputError: with both ends.
    """
    floor = resource.total(network, empty_widths(network))
    full = resource.total(network, network.widths())
    if not floor <= target < full:
        side = "at or above the supernet" if target >= full else "below what remains with every unit gone"
        raise InputError(
            f"{flag}: {show(target)} is {side}: expected at least {show(floor, up=True)} and less than {show(full)}"
        )


def show(amount: float, *, up: bool = False) -> str:
    """An amount for a message: whole numbers in full, small ones (milliseconds) to three decimals."""
    if amount < 1000 and amount != int(amount):
        return f"{amount:.3f}"
    return f"{-int(-amount // 1) if up else int(amount):,}"


def limits_met(amounts: Sequence[float], limits: Sequence[float]) -> bool:
    """Whether every amount is at or under its limit."""
    slack = 1e-12  # sums of milliseconds depend on their order in the last digits
    return all(amount <= limit * (1 + slack) for amount, limit in zip(amounts, limits, strict=True))
