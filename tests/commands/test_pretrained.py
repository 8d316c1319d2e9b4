"""``--pretrained`` of finetune and protocol: what is trained begins with the file, and the results name it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gazenas.__main__ import main
from gazenas.models.zoo import build_model
from tests.data.layouts import WRITERS, Faces
from tests.running import run_bad

TRAIN = ("--arch", "gazecapture-shuffle", "--input-size", "32", "--batch-size", "8", "--threads", "1")


@pytest.fixture(scope="module")
def sources(few_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of faces, and somebody's weights of all but the last layer."""
    root = tmp_path_factory.mktemp("pretrained")
    WRITERS["ethxgaze"](root / "faces", few_faces)
    torch.manual_seed(5)
    state = build_model("gazecapture-shuffle", input_size=32).state_dict()
    save_file({name: value for name, value in state.items() if ".gaze." not in name}, root / "others.safetensors")
    return root


def test_what_is_trained_begins_with_the_file(sources: Path, tmp_path: Path) -> None:
    """With a learning rate of next to nothing the weights are the file's at the end; the summary says which."""
    file = sources / "others.safetensors"
    words = [*TRAIN, "--data", str(sources / "faces"), "--pretrained", str(file), "--lr", "1e-12", "--epochs", "1"]
    assert main(["finetune", *words, "--out", str(tmp_path / "run")]) == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["pretrained"]
    given, kept = load_file(file), load_file(tmp_path / "run" / "weights.safetensors")
    assert (found["file"], found["tensors"], found["of"]) == (file.name, len(given), len(kept))
    torch.testing.assert_close(kept["body.stem.0.weight"], given["body.stem.0.weight"])
    more = ["--people", "3", "--folds", "0", "--out", str(tmp_path / "protocol")]
    assert main(["protocol", "held-out", *words, *more]) == 0
    fold = next((tmp_path / "protocol" / "folds").iterdir())
    torch.testing.assert_close(
        load_file(fold / "weights.safetensors")["body.stem.0.weight"], given["body.stem.0.weight"]
    )
    assert json.loads((tmp_path / "protocol" / "summary.json").read_text())["pretrained"] == str(file)


def test_weights_leave_nothing_fresh(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(sources / "others.safetensors")
    torch.manual_seed(0)
    save_file(build_model("gazecapture-shuffle", input_size=32).state_dict(), tmp_path / "weights.safetensors")
    words = ["finetune", *TRAIN, "--data", str(sources / "faces"), "--pretrained", file]
    said = run_bad([*words, "--weights", str(tmp_path / "weights.safetensors"), "--out", str(tmp_path / "run")], capsys)
    assert "--pretrained: expected no --weights, which leave nothing fresh, found both" in said
