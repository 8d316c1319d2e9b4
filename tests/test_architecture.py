"""Search spaces and architectures as files."""

import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gazenas.counting import count_macs
from gazenas.errors import InputError
from gazenas.files import write_aside
from gazenas.models.build import full_architecture
from gazenas.models.zoo import build_subnet, build_supernet, load_space, space_folder
from gazenas.search.regularization import penalty
from gazenas.search.targets import Targets, make_plan
from gazenas.space.architecture import Architecture
from gazenas.space.parsing import parse_space, resize_space
from gazenas.space.search_space import SearchSpace
from tests.running import MICRO, MICRO_CHAIN

CHAIN = load_space(MICRO_CHAIN)
SPACES = sorted(path.stem for path in space_folder().glob("*.yaml"))


@pytest.mark.parametrize("name", SPACES)
def test_every_shipped_space_loads_and_round_trips(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert parse_space(json.loads(json.dumps(space.to_dict())), "test") == space


@pytest.mark.parametrize("space", [CHAIN, *map(load_space, SPACES)], ids=lambda space: space.name)
def test_a_block_says_where_it_stands_as_its_name_does(space: SearchSpace) -> None:
    patterns = {
        "join": r"stage{stage}\.fusion\.branch{branch}\.from{source_branch}",
        "opening": r"stage{stage}\.fusion\.branch{branch}\.new",
        "parallel": r"stage{stage}\.parallel\.branch{branch}\.block{depth}",
    }
    blocks = space.blocks()
    assert len({spec.name for spec in blocks}) == len(blocks)
    for spec in blocks:
        counted = {key: getattr(spec, key) + 1 for key in ("stage", "branch", "source_branch", "depth")}
        assert re.fullmatch(patterns[spec.role].format(**counted), spec.name)
        assert spec.target == f"stage{spec.stage + 1}.branch{spec.branch + 1}"
        assert spec.out_channels == space.stages[spec.stage].channels[spec.branch]
        reads = {"join": spec.stage - 1, "opening": spec.stage, "parallel": spec.stage}[spec.role]
        channels = space.stages[reads].channels if reads >= 0 else space.stem[-1:]
        assert spec.in_channels == channels[spec.source_branch]


def test_architecture_round_trip_keeps_the_fingerprint(micro_space: SearchSpace, tmp_path: Path) -> None:
    arch = full_architecture(micro_space)
    arch.save(tmp_path / "arch.json")
    loaded = Architecture.load(tmp_path / "arch.json")
    assert loaded == arch
    assert loaded.fingerprint() == arch.fingerprint()


def test_fingerprint_depends_on_structure_alone(micro_space: SearchSpace) -> None:
    arch = full_architecture(micro_space)
    values = arch.to_dict()
    values["space"]["name"] = "another"
    assert Architecture.from_dict(values, "test").fingerprint() == arch.fingerprint()
    values["kept"]["stage1.parallel.branch1.block1"]["tokens"]["token"] -= 1
    assert Architecture.from_dict(values, "test").fingerprint() != arch.fingerprint()


def test_with_counts_asks_for_every_unit_group_once(micro_space: SearchSpace) -> None:
    full = full_architecture(micro_space)
    asked: list[tuple[str, str, str, int]] = []

    def halved(block: str, operator: str, group: str, units: int) -> int:
        asked.append((block, operator, group, units))
        return units // 2

    half = full.with_counts(halved)
    assert len(set(asked)) == len(asked) > 0
    for block, operator, group, units in asked:
        assert (full.kept[block][operator][group], half.kept[block][operator][group]) == (units, units // 2)
    assert half.with_counts(lambda *place: full.kept[place[0]][place[1]][place[2]]) == full


def test_all_errors_of_a_space_come_at_once(micro_space: SearchSpace) -> None:
    values = micro_space.to_dict() | {"squeeze": -1, "stem": []}
    with pytest.raises(InputError) as error:
        parse_space(values, "x.yaml")
    assert "x.yaml: stem: expected channel counts, one a stride-2 convolution, found []" in str(error.value)
    assert "squeeze: expected a whole number" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"banana": 1}, "unknown key 'banana'"),
        ({"fusion": {"mixconf": {}}}, "unknown operator 'mixconf'"),
        ({"fusion": {"mixconv": {"kernel": [3], "expansion": 1}}}, "unknown key 'kernel'"),
        ({"fusion": {"mixconv": {"kernels": [4], "expansion": 1}}}, "odd sizes"),
        ({"input_size": 40}, "a multiple of 16"),
        ({"head": {"kind": "none"}}, "unknown kind 'none'"),
        ({"activation": "tanh"}, "activation: expected one of relu, silu, found 'tanh'"),
        ({"activation": 3}, "activation: expected a name"),
        ({"activation": "silu"}, "tokens: expected activation relu, its own, found 'silu'"),
        ({"stages": [{"channels": [4, 8], "blocks": [1, 1]}]}, "1 branch first"),
    ],
)
def test_bad_space_file(micro_space: SearchSpace, tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / "bad.yaml").write_text(json.dumps(micro_space.to_dict() | change))
    with pytest.raises(InputError, match="bad.yaml") as error:
        load_space(tmp_path / "bad.yaml")
    assert message in str(error.value)


@pytest.mark.parametrize(("operator", "key"), [("mixconv", "kernels: [3]"), ("conv", "kernel: 3")])
@pytest.mark.parametrize("value", [".inf", ".nan", "0", "-2", "wide"])
def test_an_expansion_that_is_no_number_of_channels(operator: str, key: str, value: str, tmp_path: Path) -> None:
    text = re.sub(r"mixconv: {.*?}", f"{operator}: {{{key}, expansion: {value}}}", MICRO.read_text(), count=1)
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=f"{operator}: expansion: expected a positive number, found"):
        load_space(tmp_path / "bad.yaml")


def test_a_space_without_operators(micro_space: SearchSpace) -> None:
    """It can be built; there is nothing to press on, and a search of it is refused."""
    network = build_supernet(replace(micro_space, fusion={}, parallel=({}, {}, {})))
    assert float(penalty(network)) == 0
    with pytest.raises(InputError, match="expected operators or streams to search, found none"):
        make_plan(Targets({"macs": "50%"}), network)


def test_unknown_space_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="gazenas_tiny"):
        load_space("gazenas_huge")


def test_architecture_that_keeps_too_much_is_refused(micro_space: SearchSpace) -> None:
    values = full_architecture(micro_space).to_dict()
    del values["kept"]["stage1.parallel.branch1.block1"]
    with pytest.raises(InputError, match=r"missing \['stage1.parallel.branch1.block1'\]"):
        Architecture.from_dict(values, "arch.json")


def test_write_aside_keeps_the_old_file_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), write_aside(path) as aside:
        aside.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device: full")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_a_window_is_what_a_smaller_network_sees_of_the_cropped_image() -> None:
    torch.manual_seed(0)
    looking = build_subnet(full_architecture(replace(CHAIN, window=(8, 24, 0, 16)))).eval()
    small = build_subnet(full_architecture(resize_space(CHAIN, 16))).eval()
    small.load_state_dict(looking.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(looking(images), small(images[:, :, 8:24, :16]))
    assert count_macs(looking, 32) == count_macs(small, 16)


def test_a_window_that_is_not_square_and_its_resized_twin() -> None:
    space = replace(CHAIN, window=(8, 16, 0, 32))
    assert resize_space(space, 64).window == (16, 32, 0, 64)
    assert resize_space(space, 24).window == (5, 13, 0, 24)  # the nearest that comes out whole
    network = build_subnet(full_architecture(space))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 2)
    parts = network.parts()
    inside = sum(part.macs(network.widths()) for part in parts.values())
    assert inside == count_macs(network, 32) - 2 * 8  # the head's last layer


@pytest.mark.parametrize("window", [[0, 20, 0, 32], [-8, 8, 0, 32], [0, 40, 0, 32], [16, 8, 0, 32], [0, 8], "all"])
def test_bad_windows(window: object) -> None:
    with pytest.raises(InputError, match="window: expected"):
        parse_space(CHAIN.to_dict() | {"window": window}, "x.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"least_stream_width": 9}, "least_stream_width: expected at most the width of every stream"),
        ({"least_stream_width": -1}, "least_stream_width: expected a number of channels"),
        ({"residual_kernel": 2}, "residual_kernel: expected an odd number"),
        ({"channel_multiple": 0}, "channel_multiple: expected a positive number"),
        ({"rectify": 1}, "rectify: expected true or false"),
    ],
)
def test_bad_fields_of_streams(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_space(CHAIN.to_dict() | change, "x.yaml")


def test_streams_in_arch_json(tmp_path: Path) -> None:
    full = full_architecture(CHAIN)
    full.save(tmp_path / "arch.json")
    assert Architecture.load(tmp_path / "arch.json") == full
    values = full.to_dict()
    for width, message in ((0, "1 to 8 channels"), (9, "1 to 8 channels")):
        values["kept"]["stem1"] = {"stream": {"channel": width}}
        with pytest.raises(InputError, match=message):
            Architecture.from_dict(values, "arch.json")
    del values["kept"]["stem1"]
    with pytest.raises(InputError, match=r"missing \['stem1'\]"):
        Architecture.from_dict(values, "arch.json")


def test_an_operator_named_twice_is_refused(tmp_path: Path) -> None:
    text = MICRO_CHAIN.read_text().replace(
        "- conv: {kernel: 3, expansion: 1}", "- conv: {kernel: 3, expansion: 1}\n    conv: {kernel: 5, expansion: 1}"
    )
    (tmp_path / "twice.yaml").write_text(text)
    with pytest.raises(InputError, match="expected each key once, found 'conv' twice"):
        load_space(tmp_path / "twice.yaml")
