"""One entry in ``COSTS`` is enough: flag, help, budget, floor and unit cost of a quantity that nobody had thought
of."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from gazenas.__main__ import main
from gazenas.costs import COSTS, Quantity, budgets
from gazenas.models.network import Network
from gazenas.models.zoo import load_model
from gazenas.search import unit_groups
from gazenas.search.regularization import penalty
from gazenas.search.targets import Targets, make_plan
from tests.running import run_bad, search

TOY = '''
"""Sides of kernels: three for a channel of a 3x3 kernel, and so on; the head counts a hundred."""

from gazenas.costs.quantity import Quantity
from gazenas.models.parts import BlockPart


def sides(part, widths):
    if not isinstance(part, BlockPart):
        return 0
    return sum(int(kernel) * count for kernel, count in widths[part.spec.name]["mixconv"].items())


def network_sides(network):
    return 100 + sum(sides(part, network.widths()) for part in network.parts().values())


SIDES = Quantity("sides", "pixels", sides, budget="sides", help="sides of kernels", whole=network_sides)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quantity:
    """One file and one line."""
    path = tmp_path / "sides.py"
    path.write_text(TOY)
    spec = importlib.util.spec_from_file_location("sides", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(COSTS, "sides", module.SIDES)
    quantity: Quantity = module.SIDES
    return quantity


def test_a_new_quantity_has_costs_and_a_budget(toy: Quantity, micro_net: Network) -> None:
    for group in unit_groups(micro_net):
        expected = 0 if group.kind == "token" else int(group.kind[-1])
        assert group.cost("sides").tolist() == [expected] * len(group)
    assert float(penalty(micro_net, "sides").detach()) > 0
    everything = sum(int(group.cost("sides").sum()) for group in unit_groups(micro_net))
    resource = toy.of(micro_net)
    assert resource.total(micro_net, micro_net.widths()) == 100 + everything
    assert resource.floor(micro_net) == 100
    plan = make_plan(Targets({"sides": "50%"}), micro_net)
    assert plan.targets == {"sides": round(0.5 * (100 + everything))}


def test_a_new_quantity_has_a_flag(
    toy: Quantity, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    assert "--target-sides" in capsys.readouterr().out
    words = search(data_folder, tmp_path / "run", "--epochs", "2", "--cost", "sides", "--lambda", "0.01")
    words[words.index("--target-macs")] = "--target-sides"
    words[words.index("30%")] = "60%"
    assert "--target-sides: 1 is below what remains with every unit gone: expected at least 100" in run_bad(
        [*words, "--target-sides", "1"], capsys
    )
    assert main(words) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    target = summary["targets"]["sides"]
    left = toy.of(load_model(tmp_path / "run")).total  # type: ignore[arg-type]
    network = load_model(tmp_path / "run")
    assert 0.9 * target <= left(network, network.widths()) == summary["amounts"]["sides"] <= target  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize("name", COSTS)
def test_every_quantity_says_what_it_is(name: str) -> None:
    quantity = COSTS[name]
    assert quantity.name == name
    assert quantity.unit
    assert bool(quantity.budget) == bool(quantity.help)
    assert not quantity.budget or budgets()[quantity.budget] is quantity
    assert quantity.budget or (quantity.whole is None and quantity.samples is None)


def test_a_mere_cost_has_no_budget(micro_net: Network) -> None:
    with pytest.raises(ValueError, match="paper: expected a quantity with a budget"):
        COSTS["paper"].of(micro_net)
