"""``export --precision``: files of fewer bits, trained for or calibrated, compared with PyTorch before they are
written; quantization-aware training goes on after a kill."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from gazenas.__main__ import main
from gazenas.compression.precision import int8_of_run, trained_ranges
from gazenas.compression.quantization import (
    Scheme,
    quantize_static,
    quantize_weights,
    quantize_with_ranges,
    record_ranges,
)
from gazenas.compression.trained_ranges import ranges_of
from gazenas.data.loader import normalize
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.export.runtime import GazeEstimator
from gazenas.gaze import angular_error
from gazenas.layers.fake_quantize import FakeQuantization
from gazenas.models.baselines import BASELINES
from gazenas.models.zoo import GazeModel, build_model, build_subnet, load_model, load_space
from tests.running import MICRO, MICRO_CHAIN, TUNE, Once, assert_same_run, begin, disturb, run_bad, thinned


def words_of(data: Path, arch: Path, out: Path, *more: str) -> list[str]:
    return ["finetune", "--arch", str(arch), "--data", str(data), "--out", str(out), *TUNE, *more]


@pytest.fixture(scope="module")
def rounded(once: Once, data_folder: Path, arch: Path) -> Path:
    """A run of quantization-aware training with 4-bit weights."""
    return once("rounded", lambda out: main(words_of(data_folder, arch, out, "--quantize", "int4")))


def rounding_of(run: Path, network: GazeModel, images: torch.Tensor) -> FakeQuantization:
    """The arithmetic that a run was trained in, from what its folder tells."""
    rounding = FakeQuantization(4)
    rounding.find(network, [images])
    for place, entry in enumerate(json.loads((run / "quantization.json").read_text())["places"]):
        rounding.ranges[place, : len(entry["reads"])] = torch.tensor(entry["reads"])
    return rounding


def test_a_run_that_was_trained_for_it_needs_no_faces(rounded: Path, tmp_path: Path, faces: np.ndarray) -> None:
    """The file computes what was trained: integers of 4 bits, the same answers up to a step here and there."""
    out = tmp_path / "gaze.onnx"
    assert main(["export", "--model", str(rounded), "--out", str(out), "--precision", "int8"]) == 0
    network = load_model(rounded)
    images = normalize(torch.from_numpy(faces))
    rounding = rounding_of(rounded, network, images)
    with torch.no_grad():
        plain = network(images).numpy()
        with rounding:
            expected = network(images).numpy()
    apart = angular_error(GazeEstimator(out)(faces), expected)
    # Most answers are the same; a sum that lies between two steps goes another way here and there.
    assert (apart < 1e-3).sum() >= 3
    assert not (angular_error(plain, expected) < 1e-3).any()
    assert apart.mean() < 0.7 * angular_error(plain, expected).mean()
    graph = onnx.load(str(out)).graph
    kernels = [numpy_helper.to_array(t) for t in graph.initializer if len(t.dims) == 4]
    assert kernels
    for kernel in kernels:
        assert kernel.dtype == np.int8
        assert all(len(np.unique(channel)) <= 15 for channel in kernel)
    metadata = {entry.key: entry.value for entry in onnx.load(str(out)).metadata_props}
    assert metadata["precision"] == "int8"
    assert "trained for int4" in metadata["quantization"]


@pytest.fixture(scope="module")
def faces(data_folder: Path) -> np.ndarray:
    from gazenas.data.readers import open_data

    return open_data(data_folder).split("test").images(np.arange(16))


def test_a_killed_training_goes_on_to_the_same_file(
    rounded: Path, data_folder: Path, arch: Path, tmp_path: Path
) -> None:
    words = words_of(data_folder, arch, tmp_path / "run", "--quantize", "int4")
    process = begin(words, "last.pt", "2")
    process.communicate()
    assert main([*words, "--resume"]) == 0
    assert_same_run(rounded, tmp_path / "run")
    assert (rounded / "quantization.json").read_bytes() == (tmp_path / "run" / "quantization.json").read_bytes()


def test_weights_alone_need_nothing(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "gaze.onnx"
    assert main(["export", "--model", str(trained), "--out", str(out), "--precision", "int8-weights"]) == 0
    assert {entry.key: entry.value for entry in onnx.load(str(out)).metadata_props}["precision"] == "int8-weights"


def test_calibrated_on_training_people(
    trained: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained
    words = ["export", "--model", str(run), "--out", str(tmp_path / "gaze.onnx"), "--precision", "int8"]
    assert main([*words, "--data", str(data_folder), "--max-loss", "5", "--calibration-images", "20"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "20 faces of 3 training people" in said
    assert "on 16 validation faces" in said
    assert "expected --data, on whose training people" in run_bad(words, capsys)
    assert (
        "--max-loss: even with every"
        in run_bad([*words, "--data", str(data_folder), "--max-loss", "0", "--calibration-images", "1"], capsys)
        or (tmp_path / "gaze.onnx").exists()
    )
    said = run_bad([*words[:-1], "int8-weights", "--channel-multiple", "8"], capsys)
    assert "--channel-multiple: expected 1 with --precision int8-weights" in said


def test_ranges_of_another_network_are_refused(rounded: Path, tmp_path: Path) -> None:
    other = build_model("handmade-mobile-9m")
    ranges = trained_ranges(str(rounded))
    assert ranges is not None
    with pytest.raises(InputError, match=r"expected ranges of \d+ weighted.*found those of \d+ weighted.*give --data"):
        int8_of_run(other, ranges)
    shutil.copy(ranges, tmp_path / "quantization.json")
    (tmp_path / "quantization.json").write_text('{"weights": "int5"}')
    with pytest.raises(InputError, match="expected weights and places"):
        int8_of_run(other, tmp_path / "quantization.json")


def test_ranges_pass_through_what_leaves_them() -> None:
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Slice", ["images", "a", "b"], ["window"]),
        node("Conv", ["window", "w"], ["x"]),
        node("Relu", ["x"], ["y"]),
        node("Conv", ["y", "w"], ["z"]),
        node("Concat", ["y", "z"], ["joined"]),
        node("Add", ["joined", "bias"], ["shifted"]),
        node("Gemm", ["shifted", "w"], ["gaze"]),
    ]
    given = [info(name, onnx.TensorProto.FLOAT, None) for name in ("images", "gaze")]
    constants = [numpy_helper.from_array(np.zeros(1, np.float32), name) for name in ("a", "b", "w", "bias")]
    graph = onnx.helper.make_graph(nodes, "graph", given[:1], given[1:], constants)
    places = [{"kind": "weighted", "reads": [[-low, 1.0]]} for low in (1.0, 0.0, 3.0)]
    ranges = ranges_of(graph, places)
    assert ranges == {"window": (-1, 1), "images": (-1, 1), "y": (0, 1), "x": (0, 1), "shifted": (-3, 1)}


SMALL = 64  # pixels; every comparator is built for them, most have 224 of their own
QUICK = [("chain", MICRO_CHAIN, 0.7), ("fast", "gazenas_fast_tiny", 0.3), ("handmade-5m", "handmade-5m", 1.0)]
SPACES = ("gazenas_tiny", "atomnas_vit_tiny", "hrnas_vit_tiny", MICRO, MICRO_CHAIN, "gazenas_fast_tiny")
MANY = [
    *((f"{Path(name).stem}-{share}-{n}", name, share) for name in SPACES for share in (0.2, 0.5, 0.9) for n in (0, 1)),
    *((name, name, 1.0) for name in BASELINES if name != "handmade-5m"),
]


def network_of(name: str | Path, share: float, seed: int) -> GazeModel:
    torch.manual_seed(seed)
    if name in BASELINES:
        return build_model(str(name), input_size=SMALL).eval()
    return disturb(build_subnet(thinned(load_space(name), share))).eval()


@pytest.mark.parametrize(
    ("name", "source", "share"),
    [
        *(pytest.param(*each, id=each[0]) for each in QUICK),
        *(pytest.param(*each, id=each[0], marks=pytest.mark.slow) for each in MANY),
    ],
)
def test_a_file_is_right_or_refused(name: str, source: str | Path, share: float) -> None:
    """Random networks of every kind in 8 bits: what the file answers is what the network does, as well as 8 bits allow,
    or it is refused with a reason."""
    network = network_of(source, share, sum(name.encode()))
    size = network.input_size
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((12, 3, 4, 4)).repeat(-(-size // 4), 2).repeat(-(-size // 4), 3)
    images = np.ascontiguousarray(noise[..., :size, :size], np.float32)
    with torch.no_grad():
        plain = network(torch.from_numpy(images)).numpy()
    spread = np.abs(plain - plain.mean(0)).mean() + np.abs(plain).mean()
    data = onnx_bytes(network)
    ranges = record_ranges(data, images, [0.0])[0.0]
    rounding = FakeQuantization(8)
    rounding.find(network, [torch.from_numpy(images)])
    tried = {
        "weights": (lambda: quantize_weights(data), ""),
        "static": (lambda: quantize_static(data, ranges, Scheme()), "onnxruntime.*int8-weights has a quarter"),
        "trained": (lambda: quantize_with_ranges(data, rounding.table()), "give --data|int8-weights has a quarter"),
    }
    made, refused = {}, {}
    for kind, (make, _) in tried.items():
        try:
            made[kind] = make()
        except InputError as error:
            refused[kind] = str(error)
    for kind, said in refused.items():
        reason = tried[kind][1]
        assert reason, kind
        assert re.search(reason, said, re.DOTALL), (kind, said)
    for kind, file in made.items():
        found = answers(file, images)
        assert found.shape == plain.shape, kind
        assert np.isfinite(found).all(), kind
        # Half a degree is what 8 bits may be off by where fresh weights answer next to nothing.
        assert np.abs(found - plain).mean() < max(0.5 * spread, 0.009), (kind, np.abs(found - plain).mean(), spread)
        assert len(file) < len(data) or len(data) < 200_000, kind


def answers(model: bytes, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {session.get_inputs()[0].name: images})[0]
    return found
