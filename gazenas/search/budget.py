"""What a search has to stay under: MACs, parameters, bytes or milliseconds of the network, alone or together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gazenas.architecture import InputError
from gazenas.counting import count_macs, count_params
from gazenas.models.network import Network
from gazenas.models.search_block import BlockWidths, SearchBlock
from gazenas.ops import OPS
from gazenas.search.costs.latency import LatencyTable
from gazenas.search.costs.site import Site
from gazenas.search.freeze import freeze

NetworkWidths = Mapping[str, BlockWidths]  # by block
OfBlock = Callable[[str, SearchBlock, BlockWidths, int], float]  # name, block, widths, side of its input
FACTORS = {"%": 0.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Resource:
    """One thing that a network takes, as a fixed part and a part for each search block.

    Attributes:
        name: ``macs``, ``params``, ``size`` or ``ms``.
        fixed: of what no shrink can remove: stem, residuals and head.
        of_block: of a search block with given widths: by its name, itself, widths, and the side of its input.
        in_lanes: whether it is true only of groups that are multiples of their operator's ``lanes``.
        checks: for networks that were measured whole, this resource's amount over the measured one.
    """

    name: str
    fixed: float
    of_block: OfBlock
    in_lanes: bool = False
    checks: tuple[float, ...] = ()

    def total(self, network: Network, widths: NetworkWidths) -> float:
        """What ``network`` takes with ``widths``."""
        return self.fixed + sum(self.blocks(network, widths).values())

    def blocks(self, network: Network, widths: NetworkWidths) -> dict[str, float]:
        """What each search block takes with ``widths``."""
        sides = block_sides(network)
        return {name: self.of_block(name, block, widths[name], sides[name]) for name, block in network.blocks().items()}

    def stretched(self, network: Network, factor: float) -> Resource:
        """The same with everything above the network of no units times ``factor``."""
        of_block, inside = self.of_block, self.total(network, empty_widths(network)) - self.fixed
        return replace(
            self, fixed=self.fixed + inside * (1 - factor), of_block=lambda *block: factor * of_block(*block)
        )


def macs_resource(network: Network) -> Resource:
    """MACs of one image."""

    def of_block(name: str, block: SearchBlock, widths: BlockWidths, side: int) -> float:
        return block.macs(widths, side, side)

    inside = sum(Resource("macs", 0, of_block).blocks(network, widths_of(network)).values())
    return Resource("macs", count_macs(network, network.input_size) - inside, of_block)


def params_resource(network: Network) -> Resource:
    """Parameters of the frozen network."""

    def of_block(name: str, block: SearchBlock, widths: BlockWidths, side: int) -> float:
        return block.params(widths)

    inside = sum(Resource("params", 0, of_block).blocks(network, widths_of(network)).values())
    return Resource("params", count_params(freeze(network)) - inside, of_block)


def ms_resource(network: Network, table_file: str = "") -> Resource:
    """Milliseconds of onnxruntime on one thread for one image, by a lookup table.

    The network of no units counts as it was measured. The sum over blocks above it is scaled by one factor, so that it agrees on the
    whole with the full network and some thinned ones, measured too; how well it fits each of them is in ``checks``.

    Args:
        network: of the space.
        table_file: a table, or empty for this machine's, measured now where there is none yet.

    Raises:
        InputError: where the file is no table, or one of another space.
    """
    from gazenas.search import latency_kit as kit  # onnxruntime, for this alone

    space = network.space
    table = LatencyTable.load(Path(table_file)) if table_file else kit.machine_table(kit.space_models(space))
    specs = {spec.name: spec for spec in space.blocks()}

    def of_block(name: str, block: SearchBlock, widths: BlockWidths, side: int) -> float:
        return table.block(Site(block, specs[name], side), widths)

    wholes = kit.whole_networks(space)
    measured = {which: table.net(kit.network_key(space, which)) for which in wholes}
    floor = measured.pop("empty")
    plain = Resource("ms", floor, of_block, in_lanes=True)
    sums = sum(plain.total(network, wholes[which].kept) - floor for which in measured)
    scaled = plain.stretched(network, max(sum(ms - floor for ms in measured.values()), 1e-6) / sums)
    return replace(scaled, checks=tuple(scaled.total(network, wholes[w].kept) / ms for w, ms in measured.items()))


def lanes(operator: str, resources: Sequence[Resource]) -> int:
    """How many units of an operator leave together under ``resources``."""
    together: int = OPS[operator].lanes
    return together if any(resource.in_lanes for resource in resources) else 1


def widths_of(network: Network) -> dict[str, dict[str, dict[str, int]]]:
    """Units by block, operator and group as they stand."""
    return {name: block.widths() for name, block in network.blocks().items()}


def empty_widths(network: Network) -> dict[str, dict[str, dict[str, int]]]:
    """The same with every unit gone."""
    return {
        name: {operator: dict.fromkeys(groups, 0) for operator, groups in block.items()}
        for name, block in widths_of(network).items()
    }


def block_sides(network: Network) -> dict[str, int]:
    """Side of each search block's input in pixels."""
    return {spec.name: network.input_size // spec.reduction for spec in network.space.blocks()}


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
    full = resource.total(network, widths_of(network))
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
