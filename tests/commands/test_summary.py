"""``gazenas summary``: its rows add up to the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from gazenas.__main__ import main
from gazenas.commands import summary
from gazenas.counting import count_macs, count_params
from gazenas.models.network import Network
from gazenas.models.zoo import build_subnet, build_supernet, load_space
from tests.running import MICRO, MICRO_CHAIN, MICRO_STREAMS, thinned

SPACES = [str(MICRO), str(MICRO_STREAMS), str(MICRO_CHAIN), "gazenas_fast_tiny", "gazenas_tiny"]


@pytest.mark.parametrize("kept", [None, 0.5, 0.0], ids=["supernet", "half", "empty"])
@pytest.mark.parametrize("name", SPACES, ids=lambda name: Path(name).stem)
def test_rows_add_up(name: str, kept: float | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    space = load_space(name)
    network: Network = build_supernet(space)
    given = name
    if kept is not None:
        arch = thinned(space, kept)
        network, given = build_subnet(arch), str(tmp_path / "arch.json")
        arch.save(given)
    tables: list[tuple[list[str], list[list[str]]]] = []
    monkeypatch.setattr(summary, "print_table", lambda title, columns, rows: tables.append((columns, rows)))
    assert main(["summary", given]) == 0
    ((columns, rows),) = tables
    assert all(len(row) == len(columns) for row in rows)
    column = {title: [row[index] for row in rows if row[index]] for index, title in enumerate(columns)}
    assert sum(int(cell.replace(",", "")) for cell in column["parameters"]) == count_params(network)
    total = sum(float(cell) for cell in column["M MACs"])
    assert total == pytest.approx(count_macs(network, network.input_size) / 1e6, abs=0.0005 * len(rows))
    assert {"stem", "head"} <= set(column["part"])
    widths = network.architecture().stream_widths()
    written = {
        row[0].split()[1].rstrip(","): row[columns.index("stream")] for row in rows if row[0].startswith("stream ")
    }
    assert written == {stream: f"{widths[stream]}/{full}" for stream, full in space.searched_streams().items()}
