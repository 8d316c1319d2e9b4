"""Search spaces and architectures as files."""

import errno
import json
from pathlib import Path

import pytest

from gazenas.architecture import Architecture, InputError, SearchSpace, write_aside
from gazenas.models.builders import full_architecture, load_space, space_folder

SPACES = sorted(path.stem for path in space_folder().glob("*.yaml"))


@pytest.mark.parametrize("name", SPACES)
def test_every_shipped_space_loads_and_round_trips(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict())), "test") == space


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
        SearchSpace.from_dict(values, "x.yaml")
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
        ({"stages": [{"channels": [4, 8], "blocks": [1, 1]}]}, "1 branch first"),
    ],
)
def test_bad_space_file(micro_space: SearchSpace, tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / "bad.yaml").write_text(json.dumps(micro_space.to_dict() | change))
    with pytest.raises(InputError, match="bad.yaml") as error:
        load_space(tmp_path / "bad.yaml")
    assert message in str(error.value)


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
