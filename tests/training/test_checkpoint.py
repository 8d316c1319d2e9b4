"""Checkpoints: whole, damaged, of another version, hostile; random numbers go on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gazenas.errors import InputError
from gazenas.training.checkpoint import load_checkpoint, random_state, save_checkpoint, set_random_state


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "format": 3}, tmp_path / "last.pt")
    with pytest.raises(
        InputError, match=r"last\.pt: format: expected 4.*found 3, written by an older gazenas: end this run"
    ):
        load_checkpoint(tmp_path)
    torch.save({"epoch": 1, "format": 5, "version": "9.1"}, tmp_path / "last.pt")
    with pytest.raises(
        InputError, match=r"found 5, written by gazenas 9\.1: end this run with that version, or .*--overwrite"
    ):
        load_checkpoint(tmp_path)


def test_checkpoints_survive_damage(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path)[0] is None
    for number in range(3):
        save_checkpoint(tmp_path, {"epoch": number, "tensor": torch.ones(2) * number})
    assert load_checkpoint(tmp_path)[0]["epoch"] == 2  # type: ignore[index]
    (tmp_path / "last.pt").write_bytes(b"half of a checkp")
    state, story = load_checkpoint(tmp_path)
    assert state is not None
    assert state["epoch"] == 1
    assert "last.pt cannot be read" in story
    (tmp_path / "previous.pt").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_loading_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save({"epoch": Evil()}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_random_numbers_go_on_of_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second generator stands for the GPU's."""
    other = torch.Generator().manual_seed(5)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: other.get_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: other.set_state(state))
    torch.manual_seed(3)
    state = random_state("cuda:0")
    expected = torch.rand(2), torch.rand(2, generator=other)
    set_random_state(state, "cuda:0")
    assert torch.equal(torch.rand(2), expected[0])
    assert torch.equal(torch.rand(2, generator=other), expected[1])
    set_random_state(random_state("cpu"), "cuda:0")  # a run that began on a CPU
    set_random_state(state, "cpu")
    assert torch.equal(torch.rand(2), expected[0])
