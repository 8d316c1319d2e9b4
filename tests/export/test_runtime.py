"""The numpy and onnxruntime runtime: a file whose answers are known by a formula, files and faces that are wrong, and
a copy that runs alone."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gazenas.export import runtime
from gazenas.export.runtime import REQUIRED, GazeEstimator

SIDE = 6
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
MATRIX = np.array([[0.1, -0.2, 0.3], [0.05, 0.4, -0.1]], np.float32)
METADATA = {
    "input_size": str(SIDE),
    "mean": json.dumps(MEAN),
    "std": json.dumps(STD),
    "color_order": "RGB",
    "output": "float32 (N, 2): pitch, yaw in radians",
    "convention": "v = ...",
}


def write_file(path: Path, **changed: str | None) -> Path:
    """Channel means times ``MATRIX``, with ``METADATA`` and changes to it; None leaves a key out."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["gaze"], transB=1),
    ]
    ends = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE]),
        helper.make_tensor_value_info("gaze", TensorProto.FLOAT, ["n", 2]),
    ]
    graph = helper.make_graph(nodes, "means", ends[:1], ends[1:], [numpy_helper.from_array(MATRIX, "matrix")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    values: dict[str, str | None] = {**METADATA, **changed}
    helper.set_model_props(model, {key: value for key, value in values.items() if value is not None})
    onnx.save(model, str(path))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_file(tmp_path / "gaze.onnx")


def some_faces(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def by_formula(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """RGB faces to gaze in float64."""
    means = (faces.astype(np.float64) / 255).mean((1, 2))
    return (means - MEAN) / STD @ MATRIX.T.astype(np.float64)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_answers_by_formula(file: Path, count: int) -> None:
    faces = some_faces(count)
    for threads in (0, 1):
        found = GazeEstimator(file, threads=threads)(faces)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, by_formula(faces), atol=1e-6)


def test_one_face_has_no_batch(file: Path) -> None:
    estimator, faces = GazeEstimator(file), some_faces(3)
    for face, expected in zip(faces, estimator(faces), strict=True):
        found = estimator(face)
        assert found.shape == (2,)
        np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_colors_are_turned_to_what_the_file_wants(order: str, tmp_path: Path) -> None:
    """A file that wants BGR has its means in that order, too."""
    estimator, faces = GazeEstimator(write_file(tmp_path / "gaze.onnx", color_order=order)), some_faces(4)
    wanted = faces if order == "RGB" else faces[..., ::-1]
    np.testing.assert_allclose(estimator(faces), by_formula(wanted), atol=1e-6)
    np.testing.assert_allclose(estimator(faces[..., ::-1], color_order="BGR"), by_formula(wanted), atol=1e-6)


def test_normalized_images_are_contiguous_float32(file: Path) -> None:
    faces = some_faces(2)
    found = GazeEstimator(file).normalize(faces[:, ::-1])  # a view
    assert found.shape == (2, 3, SIDE, SIDE)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    expected = ((faces[:, ::-1] / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((SIDE, SIDE), np.uint8),
        np.zeros((SIDE, SIDE, 4), np.uint8),
        np.zeros((3, SIDE, SIDE), np.uint8),
        np.zeros((1, SIDE, SIDE + 1, 3), np.uint8),
        np.zeros((1, 1, SIDE, SIDE, 3), np.uint8),
        np.zeros((1, SIDE, SIDE, 3), np.float32),
        np.zeros((1, SIDE, SIDE, 3), np.int64),
    ],
    ids=lambda faces: f"{faces.dtype}{faces.shape}",
)
def test_other_shapes_and_types_are_named(file: Path, faces: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=rf"expected uint8 faces of shape \({SIDE}, {SIDE}, 3\).*found") as error:
        GazeEstimator(file)(faces)
    assert str(faces.shape) in str(error.value)
    assert str(faces.dtype) in str(error.value)


def test_an_unknown_color_order_is_named(file: Path) -> None:
    with pytest.raises(ValueError, match="expected RGB or BGR, found 'GBR'"):
        GazeEstimator(file)(some_faces(1), color_order="GBR")


@pytest.mark.parametrize("key", REQUIRED)
def test_missing_metadata_are_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"gaze.onnx: metadata lacks {key}; was the file written by"):
        GazeEstimator(write_file(tmp_path / "gaze.onnx", **{key: None}))


@pytest.mark.parametrize(
    "changed",
    [{"input_size": "large"}, {"mean": "0.4, 0.5"}, {"mean": "[0.4, 0.5]"}, {"std": '["a"]'}, {"color_order": "GBR"}],
    ids=str,
)
def test_metadata_of_another_kind_are_named(changed: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gaze.onnx: expected .* in its metadata"):
        GazeEstimator(write_file(tmp_path / "gaze.onnx", **changed))


def test_files_that_are_none(file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such ONNX file: .*absent.onnx"):
        GazeEstimator(tmp_path / "absent.onnx")
    with pytest.raises(FileNotFoundError, match="no such ONNX file"):
        GazeEstimator(tmp_path)
    whole = file.read_bytes()
    for name, data in (("empty", b""), ("rubbish", b"rubbish" * 100), ("cut", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f"{name}: .*(expected an ONNX file|metadata lacks)"):
            GazeEstimator(tmp_path / name)


def run_copy(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Of the runtime's file, in a process that finds nothing of gazenas."""
    copy = folder / "runtime.py"
    copy.write_text(Path(runtime.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    code = (
        "import sys; sys.modules['gazenas'] = sys.modules['torch'] = None; import runpy; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [sys.executable, "-c", f"import sys; sys.argv = {[str(copy), *arguments]!r}\n{code}"]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)


def test_a_copy_of_the_file_runs_alone(file: Path, tmp_path: Path) -> None:
    face = some_faces(1)[0]
    np.save(tmp_path / "face.npy", face)
    done = run_copy(tmp_path, str(file), str(tmp_path / "face.npy"))
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout.split(" degrees")[0])
    np.testing.assert_allclose(numbers, np.rad2deg(by_formula(face[None])[0]), atol=1e-3)
    assert "usage" in run_copy(tmp_path).stderr


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (open, ("sprung", "w"))


def test_a_face_file_runs_no_code(file: Path, tmp_path: Path) -> None:
    (tmp_path / "face.npy").write_bytes(pickle.dumps(Trap()))
    done = run_copy(tmp_path, str(file), str(tmp_path / "face.npy"))
    assert done.returncode != 0
    assert not (tmp_path / "sprung").exists()
