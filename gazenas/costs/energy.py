"""Energy of one image by a table: so much a multiply-accumulate, so much a byte moved. ``energy.json`` says what counts
as moved.

It says which of two networks spends more on arithmetic and memory, not what a whole device draws.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache, partial
from math import isfinite
from pathlib import Path

from gazenas.costs.quantity import FromTable, Quantity
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.files import read_json
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.parts import BlockPart, HeadPart, NetworkWidths, Part, StemPart, stream_width
from gazenas.space.search_space import SearchSpace
from gazenas.training.processes import World

TABLE_FILE = Path(__file__).with_name("energy.json")
PICO_A_MICRO = 1e6


@dataclass(frozen=True)
class EnergyTable:
    """Picojoules of one operation.

    Attributes:
        mac: of a multiply-accumulate.
        weight_byte, map_byte: of moving a byte of weights, and of the maps between blocks.
        bytes_a_number: of a weight and of a value in a map.
    """

    mac: float
    weight_byte: float
    map_byte: float
    bytes_a_number: float

    @staticmethod
    def load(path: Path) -> EnergyTable:
        """Reads a table.

        Raises:
            InputError: where the file is absent, not JSON, or lacks a number that is not negative.
        """
        values = read_json(path)
        numbers = {field.name: values.get(field.name) for field in fields(EnergyTable)}
        wrong = {name: value for name, value in numbers.items() if not _is_amount(value)}
        if wrong:
            raise InputError(f"{path}: expected numbers of at least 0 for {', '.join(numbers)}, found {wrong}")
        return EnergyTable(**{name: float(value) for name, value in numbers.items() if value is not None})

    def microjoules(self, macs: float, params: float, map_values: float) -> float:
        """Of so many multiply-accumulates, weights read, and values of maps moved."""
        moved = self.bytes_a_number * (self.weight_byte * params + self.map_byte * map_values)
        return (self.mac * macs + moved) / PICO_A_MICRO


@cache
def packaged_table() -> EnergyTable:
    """The table that comes with gazenas."""
    return EnergyTable.load(TABLE_FILE)


def energy(part: Part, widths: NetworkWidths, *, table: EnergyTable | None = None) -> float:
    """Microjoules of a part with ``widths``, without what is the same at all widths.

    Args:
        part: of a network.
        widths: of the network.
        table: what an operation takes; the package's without one.
    """
    return (table or packaged_table()).microjoules(part.macs(widths), part.params(widths), map_values(part, widths))


def network_energy(network: Network, *, table: EnergyTable | None = None) -> float:
    """Microjoules of a network for one image, once it is frozen."""
    moved = sum(map_values(part, network.widths()) for part in network.parts().values())
    counted = count_macs(network, network.input_size), count_params(freeze(network)), moved
    return (table or packaged_table()).microjoules(*counted)


def map_values(part: Part, widths: NetworkWidths) -> int:
    """Values of the maps that a part reads from and writes to others."""
    if isinstance(part, BlockPart):
        extent = part.extent(widths)
        return extent.in_channels * extent.pixels_in + extent.out_channels * extent.pixels_out(part.spec.stride)
    if isinstance(part, StemPart):
        return sum(c.height * c.width * (4 * c.in_channels + c.out_channels) // 4 for c in part.convolutions(widths))
    assert isinstance(part, HeadPart), type(part).__name__
    read = zip(part.streams, part.space.stages[-1].channels, part.space.sizes(), strict=True)
    return sum(stream_width(widths, stream, full) * height * width for stream, full, (height, width) in read)


def energy_by_table(file: str, space: SearchSpace, world: World) -> Quantity:
    """Energy by a table in a file, or by the package's for an empty path; it is the same for all spaces.

    Raises:
        InputError: where the file is no table.
    """
    if not file:
        return ENERGY
    try:
        table = EnergyTable.load(Path(file))
    except InputError as error:
        raise InputError(f"--energy-table: {error}") from error
    return replace(ENERGY, amount=partial(energy, table=table), whole=partial(network_energy, table=table))


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0


ENERGY = Quantity(
    "energy",
    "microjoules",
    energy,
    budget="energy",
    help="microjoules of one image by the energy table, arithmetic and memory: 300.5 or 40%",
    whole=network_energy,
    integral=False,
    table=FromTable(
        "JSON file like costs/energy.json, for --target-energy and --cost energy; that one without it", energy_by_table
    ),
)
