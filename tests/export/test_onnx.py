"""The exported file: what it says of itself, what its verification refuses and leaves behind, half precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.export.onnx import differences_from_torch, export_onnx, onnx_bytes
from gazenas.export.runtime import GazeEstimator
from gazenas.models.channel_multiple import fill_channels
from gazenas.models.network import Network
from gazenas.models.zoo import build_subnet, load_space
from tests.running import MICRO_CHAIN, disturb, thinned

SIDE = 32


@pytest.fixture(scope="module")
def subnet() -> Network:
    torch.manual_seed(0)
    network = disturb(build_subnet(thinned(load_space(MICRO_CHAIN), 0.5))).eval()
    with torch.no_grad():  # answers of some degrees
        network.head.gaze.weight.mul_(0.01)
    return network


@pytest.fixture(scope="module")
def files(subnet: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    for precision in ("fp32", "fp16"):
        export_onnx(subnet, folder / precision, faces(70), precision=precision)
    return {precision: folder / precision for precision in ("fp32", "fp16")}


def faces(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def degrees_between(found: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """By arc cosine, which is enough for differences above a thousandth of a degree."""

    def vectors(angles: NDArray[np.float32]) -> NDArray[np.float64]:
        pitch, yaw = angles.astype(np.float64).T
        return -np.stack([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], 1)

    degrees: NDArray[np.float64] = np.rad2deg(np.arccos(np.clip((vectors(found) * vectors(expected)).sum(1), -1, 1)))
    return degrees


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_a_file_says_of_itself(subnet: Network, files: dict[str, Path], precision: str) -> None:
    model = onnx.load(str(files[precision]))
    metadata = {each.key: each.value for each in model.metadata_props}
    assert metadata["producer"] == "gazenas"
    assert metadata["precision"] == precision
    assert int(metadata["input_size"]) == SIDE
    assert json.loads(metadata["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(metadata["std"]) == [0.229, 0.224, 0.225]
    assert metadata["color_order"] == "RGB"
    assert "pitch, yaw in radians" in metadata["output"]
    assert "z away from the camera" in metadata["convention"]
    assert metadata["fingerprint"] == subnet.architecture().fingerprint()
    assert int(metadata["macs"]) == count_macs(subnet, SIDE)
    assert int(metadata["params"]) == count_params(subnet)
    assert {each.version for each in model.opset_import if each.domain == ""} == {18}
    (given,), (answer,) = model.graph.input, model.graph.output
    for value, name, shape in ((given, "images", ["batch", 3, SIDE, SIDE]), (answer, "gaze", ["batch", 2])):
        dims = value.type.tensor_type.shape.dim
        assert [dim.dim_param or dim.dim_value for dim in dims] == shape
        assert (value.name, value.type.tensor_type.elem_type) == (name, TensorProto.FLOAT)


def test_the_same_network_gives_the_same_bytes(subnet: Network, files: dict[str, Path]) -> None:
    assert onnx_bytes(subnet) == files["fp32"].read_bytes()


def test_onnx_s_own_interpreter_agrees(subnet: Network, files: dict[str, Path]) -> None:
    """Not onnxruntime, which folds and fuses."""
    images = GazeEstimator(files["fp32"]).normalize(faces(3))
    (found,) = ReferenceEvaluator(str(files["fp32"])).run(None, {"images": images})
    with torch.no_grad():
        expected = subnet(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_half_precision_is_in_weights_and_arithmetic(subnet: Network, files: dict[str, Path]) -> None:
    models = {precision: onnx.load(str(path)) for precision, path in files.items()}
    kinds = {
        precision: {numpy_helper.to_array(each).dtype for each in model.graph.initializer} - {np.dtype(np.int64)}
        for precision, model in models.items()
    }
    assert kinds == {"fp32": {np.dtype(np.float32)}, "fp16": {np.dtype(np.float16)}}
    assert files["fp16"].stat().st_size < 0.7 * files["fp32"].stat().st_size
    casts = [node for node in models["fp16"].graph.node if node.op_type == "Cast"]
    assert len(casts) == 2, "at the input and at the output"
    images = GazeEstimator(files["fp32"]).normalize(faces(70))
    with torch.no_grad():
        expected = subnet(torch.from_numpy(images)).numpy()
    found = GazeEstimator(files["fp16"]).run(images)
    differences = degrees_between(found, expected)
    assert 1e-3 < differences.max() < 0.25, "rounded, and not too much"
    sizes = [GazeEstimator(files["fp16"]).run(images[:count]) for count in (1, 7, 64)]
    assert [each.shape for each in sizes] == [(1, 2), (7, 2), (64, 2)]


def test_the_report_is_the_difference_at_every_batch_size(subnet: Network, tmp_path: Path) -> None:
    """Against another network, so that there is a difference."""
    path = tmp_path / "gaze.onnx"
    report = export_onnx(subnet, path, faces(9))
    assert (report.size, report.images, report.network) == (path.stat().st_size, 9, subnet)
    assert 0 <= report.mean <= report.worst < 0.01
    other = build_subnet(subnet.architecture())
    other.load_state_dict(subnet.state_dict())
    with torch.no_grad():
        other.head.gaze.bias.add_(torch.tensor([0.1, -0.2]))
        images = torch.from_numpy(GazeEstimator(path).normalize(faces(9)))
        expected = degrees_between(subnet(images).numpy(), other.eval()(images).numpy())
    found = differences_from_torch(other, path, faces(9))
    np.testing.assert_allclose(found, np.tile(expected, 3), atol=1e-3)


def test_the_network_is_left_as_it_was(subnet: Network) -> None:
    before = {name: tensor.clone() for name, tensor in subnet.state_dict().items()}
    subnet.train()
    onnx_bytes(subnet)
    assert subnet.training
    subnet.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in subnet.state_dict().items())


@pytest.mark.parametrize("stood", [b"", b"what was there before"], ids=["nothing", "a file"])
def test_a_file_that_fails_its_verification_leaves_nothing_behind(
    stood: bytes, subnet: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights beyond float16's range become infinite there, and the answers are no numbers."""
    path = tmp_path / "gaze.onnx"
    if stood:
        path.write_bytes(stood)
    wild = build_subnet(subnet.architecture())
    wild.load_state_dict(subnet.state_dict())
    with torch.no_grad():
        wild.head.gaze.weight.mul_(1e6)
    with pytest.raises(InputError, match=rf"differs from PyTorch by up to .*0.25 is allowed for fp16: {path} was not"):
        export_onnx(wild, path, faces(3), precision="fp16")
    with torch.no_grad():
        wild.head.gaze.bias.fill_(torch.nan)
    with pytest.raises(InputError, match=r"up to nan degrees over 3 images, at most 0.01 is allowed for fp32"):
        export_onnx(wild, path, faces(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ([path.name] if stood else [])
    assert not stood or path.read_bytes() == stood


def test_a_full_disk_leaves_nothing_behind(subnet: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    (tmp_path / "gaze.onnx").write_bytes(b"before")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        export_onnx(subnet, tmp_path / "gaze.onnx", faces(1))
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("gaze.onnx", b"before")]


def test_an_unknown_precision_is_named(subnet: Network, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--precision: expected one of fp32, fp16, found 'int3'"):
        export_onnx(subnet, tmp_path / "gaze.onnx", faces(1), precision="int3")


def test_filled_channels_keep_the_fingerprint_and_count_what_is_computed(subnet: Network, tmp_path: Path) -> None:
    """The file names the network that was trained, and says what its wider copy takes."""
    report = export_onnx(subnet, tmp_path / "gaze.onnx", faces(3), channel_multiple=8)
    wide = fill_channels(subnet, 8)
    metadata = GazeEstimator(tmp_path / "gaze.onnx").metadata
    assert metadata["fingerprint"] == subnet.architecture().fingerprint()
    assert int(metadata["macs"]) == count_macs(wide, SIDE) > count_macs(subnet, SIDE)
    assert int(metadata["params"]) == count_params(wide) == count_params(report.network)


def test_wrong_images_are_named_by_the_runtime(files: dict[str, Path]) -> None:
    for path in files.values():
        estimator = GazeEstimator(path)
        with pytest.raises(ValueError, match=r"expected uint8 faces of shape \(32, 32, 3\)"):
            estimator(np.zeros((1, 64, 64, 3), np.uint8))
        with pytest.raises(Exception, match="Got invalid dimensions") as error:
            estimator.run(np.zeros((1, 3, 64, 64), np.float32))
        assert type(error.value).__module__.startswith(onnxruntime.__name__)
