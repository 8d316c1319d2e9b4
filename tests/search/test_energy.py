"""Energy: against a sum written out by hand, and tables that a person gives."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

import pytest

from gazenas.costs import COSTS
from gazenas.costs.energy import ENERGY, TABLE_FILE, energy_by_table, map_values, packaged_table
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.freezing import freeze
from gazenas.models.network import Network
from gazenas.models.zoo import build_supernet, load_space
from gazenas.search import unit_groups
from gazenas.search.shrinking import shrink
from gazenas.training.processes import ALONE
from tests.running import MICRO, MICRO_CHAIN

# Horowitz, ISSCC 2014, 45 nm: multiplication and addition of 32-bit floats, reading 32 bits from DRAM.
PICOJOULES_A_MAC, PICOJOULES_A_NUMBER = 3.7 + 0.9, 640.0


def test_energy_of_a_chain_by_hand() -> None:
    """Maps: the image, behind the stem 8 x 16 x 16, then 8 x 8 x 8 in a fusion and a parallel block, 12 x 4 x 4 in
    one and two."""
    network = build_supernet(MICRO_CHAIN)
    image, stem, first, second = 3 * 32**2, 8 * 16**2, 8 * 8**2, 12 * 4**2
    moved = (image + stem) + (stem + first) + 2 * first + (first + second) + 2 * (2 * second) + second
    weights = count_params(freeze(network))
    expected = PICOJOULES_A_MAC * count_macs(network, 32) + PICOJOULES_A_NUMBER * (weights + moved)
    resource = ENERGY.of(network)
    assert resource.total(network, network.widths()) == pytest.approx(1e-6 * expected)
    assert sum(map_values(part, network.widths()) for part in network.parts().values()) == moved


def test_a_unit_costs_what_its_removal_saves(any_net: Network) -> None:
    def taken(network: Network) -> float:
        values = sum(map_values(part, network.widths()) for part in network.parts().values())
        numbers = count_params(freeze(network)) + values
        return 1e-6 * (PICOJOULES_A_MAC * count_macs(network, 32) + PICOJOULES_A_NUMBER * numbers)

    resource, before = ENERGY.of(any_net), taken(any_net)
    for index in range(0, len(unit_groups(any_net)), 2):
        group = unit_groups(any_net)[index]
        if len(group) <= group.least:
            continue
        cost, before = float(group.cost("energy")[0]), taken(any_net)
        group.alpha.data[0] = 0
        shrink(any_net, 0.0)
        assert before - taken(any_net) == pytest.approx(cost, rel=1e-4), group.name
    assert resource.total(any_net, any_net.widths()) == pytest.approx(taken(any_net))


def test_a_person_s_table(tmp_path: Path) -> None:
    """With arithmetic alone a microjoule of a million MACs, energy is MACs."""
    path, network = tmp_path / "mine.json", build_supernet(MICRO)
    path.write_text(json.dumps({"mac": 1, "weight_byte": 0, "map_byte": 0, "bytes_a_number": 1, "source": "mine"}))
    mine = energy_by_table(str(path), network.space, ALONE)
    assert mine.of(network).total(network, network.widths()) == pytest.approx(1e-6 * count_macs(network, 32))
    for group in unit_groups(network):
        assert float(group.cost(mine.amount)[0]) == pytest.approx(1e-6 * float(group.cost("macs")[0]))
    assert energy_by_table("", network.space, ALONE) is COSTS["energy"]


@pytest.mark.parametrize(
    "change", [{"mac": -1}, {"mac": "4.6"}, {"weight_byte": None}, {"map_byte": True}, {"bytes_a_number": 1e999}]
)
def test_bad_tables_are_named(change: dict[str, object], tmp_path: Path) -> None:
    path, space = tmp_path / "mine.json", load_space(MICRO)
    path.write_text(json.dumps(json.loads(TABLE_FILE.read_text()) | change))
    with pytest.raises(InputError, match=rf"--energy-table: .*mine.json: expected numbers .*{next(iter(change))}"):
        energy_by_table(str(path), space, ALONE)
    with pytest.raises(InputError, match="--energy-table: .*no such file"):
        energy_by_table(str(tmp_path / "none.json"), space, ALONE)


def test_the_packaged_table_names_its_source() -> None:
    table = packaged_table()
    byte = PICOJOULES_A_NUMBER / 4
    assert astuple(table) == pytest.approx((PICOJOULES_A_MAC, byte, byte, 4))
    words = json.loads(TABLE_FILE.read_text())
    assert "Horowitz" in words["source"]
    assert words["counted"]
