"""What a name or a path stands for: the same everywhere, a path before a name, and the log says so."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gazenas.commands import summary
from gazenas.errors import InputError
from gazenas.evaluation.comparison import candidates
from gazenas.models.baselines import BASELINES, BaselineSpec
from gazenas.models.build import full_architecture
from gazenas.models.network import Network
from gazenas.models.zoo import (
    build_model,
    build_subnet,
    find_model,
    list_subnets,
    load_model,
    load_space,
    space_folder,
)
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import SearchSpace
from tests.running import MICRO, disturb

SHIPPED = list_subnets()[0]
Said = pytest.LogCaptureFixture


def write_run(folder: Path, network: nn.Module) -> None:
    folder.mkdir()
    network.architecture().save(folder / "arch.json")  # type: ignore[operator]
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / "weights.safetensors")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of a person who called runs as comparators, shipped subnets and spaces are called."""
    torch.manual_seed(0)
    write_run(tmp_path / "gazecapture", build_model("gazecapture", input_size=64))
    write_run(tmp_path / SHIPPED, disturb(build_subnet(full_architecture(load_space(MICRO)))))
    write_run(tmp_path / "gazenas_tiny", build_model("handmade-5m"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_are_told_apart() -> None:
    spaces = [path.stem for path in space_folder().glob("*.yaml")]
    names = [*BASELINES, *list_subnets(), *spaces]
    assert len(set(names)) == len(names)


def test_names_where_no_path_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Said) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model("gazecapture").described == BaselineSpec("gazecapture", 0)
    assert build_model("gazecapture").input_size == 128
    assert find_model(SHIPPED).has_weights
    assert isinstance(find_model(SHIPPED).described, Architecture)
    assert find_model("gazenas_tiny").described == load_space("gazenas_tiny")
    assert find_model(MICRO).described == load_space(MICRO)
    assert not caplog.records


@pytest.mark.parametrize("name", ["gazecapture", SHIPPED, "gazenas_tiny"])
def test_a_run_of_that_name_is_taken_everywhere(here: Path, name: str, caplog: Said) -> None:
    expected = load_model(here / name)
    assert not caplog.records, "a full path is no name"
    images = torch.randn(2, 3, expected.input_size, expected.input_size)
    for found in (load_model(name), build_model(name, weights=f"{name}/weights.safetensors").eval()):
        assert torch.equal(found(images), expected(images))
    for built in (build_model(name), summary._build(name)):
        assert built.architecture() == expected.architecture()
    (candidate,) = candidates([name], retrain=False, input_size=0)
    assert (candidate.kind, candidate.input_size) == ("trained", expected.input_size)
    if isinstance(expected, Network):
        assert build_subnet(name).architecture() == expected.architecture()
    else:
        with pytest.raises(InputError, match="found the comparator"):
            build_subnet(name)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert all(
        "taken from this path, not the" in each.message and str(here / name) in each.message for each in caplog.records
    )


def test_weights_by_default_are_the_shipped_ones(here: Path) -> None:
    """The word only goes with a name, so that a folder of that name cannot be meant."""
    shipped = build_subnet(SHIPPED, weights="default")
    assert shipped.architecture() != build_subnet(SHIPPED).architecture()
    assert build_model(SHIPPED, weights="default").architecture() == shipped.architecture()
    with pytest.raises(InputError, match="expected 'default' with a shipped name"):
        build_model("gazecapture", weights="default")


@pytest.mark.parametrize("name", ["gazecapture", "gazenas"])
def test_a_folder_that_is_no_run_gives_way_and_the_log_says_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Said
) -> None:
    """Such as the data set of the comparator's name, or the package in its repository."""
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert isinstance(find_model(name).described, SearchSpace if name == "gazenas" else BaselineSpec)
    (record,) = caplog.records
    assert "no arch.json" in record.message
    assert "same name was taken" in record.message


def test_an_arch_json_brings_the_weights_beside_it(here: Path) -> None:
    source = find_model(here / SHIPPED / "arch.json")
    assert source.weights == here / SHIPPED / "weights.safetensors"
    (candidate,) = candidates([str(here / SHIPPED / "arch.json")], retrain=False, input_size=0)
    assert candidate.kind == "fresh", "the file says the structure; the folder is the trained network"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gazecapture", "found the name of a comparator"),
        ("gazenas_tiny", "found the name of a comparator or a search space"),
        ("nothing", "no such run folder.*gazenas-tiny.*gazecapture"),
        ("nothing.json", "nothing.json: no such file"),
        ("nothing", "no such run folder"),
        ("", "unknown subnet ''"),
    ],
)
def test_what_has_no_weights_is_refused(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        load_model(name)


def test_a_space_is_no_subnet() -> None:
    with pytest.raises(InputError, match="found the search space gazenas_tiny; see build_supernet"):
        build_model("gazenas_tiny")


def test_a_saved_comparator_has_the_size_that_is_asked_for(here: Path) -> None:
    described = find_model("gazecapture").described
    assert described == BaselineSpec("gazecapture", 64)
    assert build_model("gazecapture", input_size=32).architecture() == replace(described, input_size=32)  # type: ignore[type-var]
