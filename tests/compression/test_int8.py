"""int8 files: integers inside, near the float file, chosen by degrees, refused where they lose too much."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from gazenas.__main__ import main
from gazenas.compression.coding import decode, encode
from gazenas.compression.gate import Reference, check_gate, saturation
from gazenas.compression.int8 import quantize_int8, quantize_int8_weights
from gazenas.compression.pipeline import StageSettings, run_stages
from gazenas.compression.quantization import (
    OUTLIERS,
    Scheme,
    heavy_nodes,
    quantize_static,
    quantize_weights,
    record_ranges,
    schemes,
)
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.export.runtime import GazeEstimator
from gazenas.models.zoo import build_subnet, load_space
from tests.export.test_runtime import run_copy
from tests.running import MICRO_CHAIN, Once, disturb, run_bad, thinned

SIDE = load_space(MICRO_CHAIN).input_size


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain(once: Once) -> Path:
    """A small network of plain convolutions as a float file."""

    def export(path: Path) -> None:
        torch.manual_seed(0)
        network = disturb(build_subnet(thinned(load_space(MICRO_CHAIN), 0.5))).eval()
        with torch.no_grad():  # answers of a radian or so
            network.head.gaze.weight.mul_(0.01)
        path.write_bytes(onnx_bytes(network))

    return once("plain.onnx", export)


@pytest.fixture(scope="module")
def reference(plain: Path, faces: np.ndarray) -> Reference:
    """The labels are the float file's own answers, so that every deviation is a loss."""
    return Reference(plain.read_bytes(), faces, GazeEstimator(plain)(faces))


@pytest.fixture(scope="module")
def calibration(plain: Path, faces: np.ndarray) -> np.ndarray:
    return GazeEstimator(plain).normalize(faces)


def weights_of(model: bytes) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(model).graph.initializer}


def test_weights_alone_are_rounded_to_the_nearest_step_of_their_channel(reference: Reference) -> None:
    before, after = weights_of(reference.model), weights_of(quantize_weights(reference.model))
    changed = [name for name in before if f"{name}_int8" in after]
    assert changed
    for name in changed:
        integers, scale = after[f"{name}_int8"], after[f"{name}_scale"]
        assert integers.dtype == np.int8
        axis = next(dim for dim in range(integers.ndim) if integers.shape[dim] == len(scale))
        shape = [1] * integers.ndim
        shape[axis] = -1
        back = integers.astype(np.float64) * scale.reshape(shape)
        assert np.abs(back - before[name]).max() <= scale.max() / 2 * (1 + 1e-6)
    judged = quantize_int8_weights(reference).judged
    assert judged.deviation_worst < 3
    assert judged.size < judged.float_size


def test_static_int8_computes_with_integers_and_stays_near(reference: Reference, calibration: np.ndarray) -> None:
    found = quantize_int8(reference, calibration, max_loss=5.0, source="drawn noise")
    graph = onnx.load_from_string(found.model).graph
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    assert convolutions
    assert all(made_by[node.input[1]] == "DequantizeLinear" for node in convolutions)
    assert found.judged.deviation_mean == min(judged.deviation_mean for _, judged in found.tried)
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(found.model).metadata_props}
    story = json.loads(metadata["quantization"])
    assert metadata["precision"] == "int8"
    assert (story["calibration_images"], story["calibration_data"]) == (60, "drawn noise")
    assert story["loss"] == pytest.approx(found.judged.loss, abs=1e-3)


@pytest.mark.parametrize("scheme", schemes(reduce_range=False), ids=str)
def test_the_same_file_as_by_onnxruntime_s_own_call(
    scheme: Scheme, reference: Reference, calibration: np.ndarray, tmp_path: Path
) -> None:
    """Ranges that are recorded once and used for many files make the answers of the files that it makes."""
    from onnxruntime import quantization

    parts = iter(np.array_split(calibration, 2))

    class Faces(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            part = next(parts, None)
            return None if part is None else {"images": part}

    methods = quantization.CalibrationMethod
    (tmp_path / "float.onnx").write_bytes(reference.model)
    with contextlib.redirect_stdout(io.StringIO()):
        quantization.quantize_static(
            str(tmp_path / "float.onnx"),
            str(tmp_path / "theirs.onnx"),
            Faces(),
            per_channel=scheme.per_channel,
            activation_type=quantization.QuantType.QUInt8,
            calibrate_method=methods.Percentile if scheme.outliers else methods.MinMax,
            extra_options={"CalibPercentile": 100 * (1 - scheme.outliers)},
        )
    ranges = record_ranges(reference.model, calibration, OUTLIERS)[scheme.outliers]
    (tmp_path / "ours.onnx").write_bytes(quantize_static(reference.model, ranges, scheme))
    ours, theirs = (GazeEstimator(tmp_path / f"{name}.onnx")(reference.faces) for name in ("ours", "theirs"))
    np.testing.assert_array_equal(ours, theirs)


def test_a_node_in_float_is_left_alone(reference: Reference, calibration: np.ndarray) -> None:
    first = heavy_nodes(reference.model)[0]
    ranges = record_ranges(reference.model, calibration, [0.0])[0.0]
    data = quantize_static(reference.model, ranges, Scheme(floats=(first,)))
    graph = onnx.load_from_string(data).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    kinds = [made_by.get(node.input[1], "weight") for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert kinds.count("weight") == 1


def test_copies_of_a_bias_take_no_name_of_the_graph() -> None:
    """Two layers read ``v1``, and the quantizer names a copy by a number after it, though ``v10`` is a map."""
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    rng = np.random.default_rng(0)
    arrays = {"v0": rng.standard_normal((4, 8)), "v1": rng.standard_normal(4), "v2": rng.standard_normal((4, 4))}
    constants = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in arrays.items()]
    constants.append(numpy_helper.from_array(np.array([2]), "axes"))
    nodes = [
        node("Flatten", ["images"], ["flat"]),
        node("Gemm", ["flat", "v0", "v1"], ["x"], transB=1),
        node("Gemm", ["x", "v2", "v1"], ["v10"], transB=1),
        node("Unsqueeze", ["v10", "axes"], ["gaze"]),
    ]
    given = info("images", onnx.TensorProto.FLOAT, ["batch", 2, 2, 2]), info("gaze", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "graph", given[:1], given[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    data = onnx.shape_inference.infer_shapes(model).SerializeToString()
    images = rng.standard_normal((40, 2, 2, 2)).astype(np.float32)
    small = quantize_static(data, record_ranges(data, images, [0.0])[0.0], Scheme())
    plain, found = (
        onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"images": images})[0]
        for file in (data, small)
    )
    assert 0 < np.abs(found - plain).max() < 0.05 * np.abs(plain).max()


def test_nodes_go_back_to_float_until_the_loss_is_allowed(reference: Reference, calibration: np.ndarray) -> None:
    coarse = quantize_int8(reference, calibration, max_loss=180.0)
    allowed = coarse.judged.loss * 0.7
    fine = quantize_int8(reference, calibration, max_loss=allowed)
    assert fine.judged.loss <= allowed < coarse.judged.loss
    assert "nodes float" in fine.scheme
    with pytest.raises(InputError, match="calibration: expected faces"):
        quantize_int8(reference, calibration[:0], max_loss=1.0)


def test_products_do_not_saturate_where_that_is_asked_for(tmp_path: Path) -> None:
    """Sums of 255 times 127 pass 16 bits at the second product; the answer is known whatever the CPU."""
    count = 3 * 8 * 8
    weight = np.array([np.full(count, 127), np.tile([127, -127], count // 2)], np.int8)
    made = [
        ("QuantizeLinear", ["images", "scale", "zero"], "bytes"),
        ("DequantizeLinear", ["bytes", "scale", "zero"], "maps"),
        ("Flatten", ["maps"], "flat"),
        ("DequantizeLinear", ["weight", "step"], "wide"),
        ("Gemm", ["flat", "wide"], "sums"),
        ("QuantizeLinear", ["sums", "coarse", "middle"], "angle_bytes"),
        ("DequantizeLinear", ["angle_bytes", "coarse", "middle"], "angles"),
    ]
    nodes = [onnx.helper.make_node(op, given, [out]) for op, given, out in made]
    nodes[4].attribute.extend([onnx.helper.make_attribute("transB", 1)])
    values = {"scale": np.float32(1 / 255), "zero": np.uint8(0), "weight": weight, "step": np.float32(1 / 127 / count)}
    values |= {"coarse": np.float32(1 / 100), "middle": np.uint8(128)}
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "sums",
        [onnx.helper.make_tensor_value_info("images", kind, ["n", 3, 8, 8])],
        [onnx.helper.make_tensor_value_info("angles", kind, ["n", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    contract = {"input_size": "8", "mean": "[0, 0, 0]", "std": "[1, 1, 1]", "color_order": "RGB"}
    onnx.helper.set_model_props(model, contract | {"output": "angles", "convention": "any"})
    onnx.save(model, str(tmp_path / "sums.onnx"))
    estimator = GazeEstimator(tmp_path / "sums.onnx", saturate=False)
    assert estimator.session.get_session_options().get_session_config_entry("session.x64quantprecision") == "1"
    assert estimator(np.full((8, 8, 3), 255, np.uint8)) == pytest.approx([1.0, 0.0], abs=0.006)


def test_what_saturates_is_told_from_what_is_rounded(
    reference: Reference, plain: Path, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert saturation(plain, faces, GazeEstimator(plain)(faces)) == 0  # floats

    class Weak:
        """A file on a CPU whose saturated products turn every answer by 5 degrees of pitch."""

        def __init__(self, path: Path, *, saturate: bool = True) -> None:
            self.estimator, self.saturate = GazeEstimator(path), saturate

        def __call__(self, images: np.ndarray) -> np.ndarray:
            answers = self.estimator(images) * np.float32([1, 0])
            return answers + np.float32([np.deg2rad(5) if self.saturate else 0, 0])

    monkeypatch.setattr("gazenas.compression.gate.GazeEstimator", Weak)
    assert saturation(plain, faces, Weak(plain)(faces)) == pytest.approx(5, abs=1e-3)
    assert reference.judge(reference.model).saturation == pytest.approx(5, abs=1e-3)


def test_the_gate_refuses_and_says_by_how_much(reference: Reference) -> None:
    judged = reference.judge(quantize_weights(reference.model), size=len(reference.model))
    with pytest.raises(InputError, match=f"{judged.loss:.3f} more, at most 0 is allowed"):
        check_gate(judged, max_loss=0.0)
    with pytest.raises(InputError, match="--must-be smaller"):
        check_gate(judged, max_loss=180.0, must_be=["smaller"])
    with pytest.raises(InputError, match=r"2.000 ms, the float file takes 1.000"):
        check_gate(judged, max_loss=180.0, must_be=["faster"], ms=[1.0, 2.0])
    check_gate(judged, max_loss=180.0, must_be=["faster"], ms=[2.0, 1.0])


def test_a_coded_file_is_the_same_file(reference: Reference, faces: np.ndarray, tmp_path: Path) -> None:
    coded = encode(reference.model)
    assert decode(coded) == reference.model == lzma.decompress(coded)
    (tmp_path / "model.onnx.xz").write_bytes(coded)
    (tmp_path / "model.onnx").write_bytes(reference.model)
    answers = [GazeEstimator(tmp_path / name)(faces) for name in ("model.onnx", "model.onnx.xz")]
    assert np.array_equal(*answers)
    (tmp_path / "bad.onnx.xz").write_bytes(coded[: len(coded) // 2])
    with pytest.raises(ValueError, match="bad.onnx.xz: expected a file that 'gazenas compress' coded"):
        GazeEstimator(tmp_path / "bad.onnx.xz")


def test_numpy_and_onnxruntime_are_enough(reference: Reference, calibration: np.ndarray, tmp_path: Path) -> None:
    """int8 and coded files in a process that finds neither torch nor gazenas."""
    int8 = quantize_static(reference.model, record_ranges(reference.model, calibration, [0.0])[0.0], Scheme())
    (tmp_path / "int8.onnx").write_bytes(int8)
    (tmp_path / "int8.onnx.xz").write_bytes(encode(int8))
    np.save(tmp_path / "face.npy", reference.faces[0])
    said = [run_copy(tmp_path, name, "face.npy").stdout for name in ("int8.onnx", "int8.onnx.xz")]
    expected = np.rad2deg(GazeEstimator(tmp_path / "int8.onnx")(reference.faces[0]))
    assert said[0] == said[1]
    assert json.loads(said[0].split(" degrees")[0]) == pytest.approx(expected, abs=1e-4)


def test_stages_run_in_order_and_unknown_ones_are_named(reference: Reference, calibration: np.ndarray) -> None:
    settings = StageSettings(calibration=calibration, source="", max_loss=20.0)
    names = [stage.name for stage in run_stages(["quantize", "code"], "gazenas-tiny-5m", reference, settings)]
    assert names == ["float", "quantize", "code"]
    for words in (["shrivel"], [], ["code", "code"], ["code", "quantize"]):
        with pytest.raises(InputError, match="--stages: expected some of prune, distill, quantize, code, each once"):
            run_stages(words, "", reference, settings)
    with pytest.raises(InputError, match="prune trains, and nothing to train with was given"):
        run_stages(["prune"], "", reference, settings)


def test_the_verb(trained: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compress", str(trained), "--data", str(data_folder), "--calibration-images", "20", "--must-be", ""]
    assert main([*words, "--out", str(tmp_path / "out"), "--max-loss", "30"]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [stage["stage"] for stage in summary["stages"]] == ["float", "quantize", "code"]
    assert summary["stages"][2]["size"] == (tmp_path / "out" / "model.onnx.xz").stat().st_size
    coded = tmp_path / "out" / "model.onnx.xz"
    evaluation = ["evaluate", "--model", str(coded), "--data", str(data_folder), "--out", str(tmp_path / "evaluation")]
    assert main(evaluation) == 0
    evaluated = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    assert evaluated["test_error_deg"] == pytest.approx(summary["test_error_deg"], abs=1e-4)
    said = run_bad([*words, "--out", str(tmp_path / "bad"), "--max-loss", "0", "--must-be", "slower"], capsys)
    assert "--must-be: expected some of smaller, faster, found 'slower'" in said
    other = tmp_path / "other"
    shutil.copytree(data_folder, other)
    split = json.loads((other / "train_test_split.json").read_text())
    moved = {"train": split["val"], "val": split["train"], "test": split["test"]}
    (other / "train_test_split.json").write_text(json.dumps(moved))
    said = run_bad(["compress", str(trained), "--data", str(other), "--out", str(tmp_path / "bad")], capsys)
    assert "subject0000" in said
    assert "whom the network never saw" in said
    said = run_bad([*words, "--out", str(tmp_path / "bad"), "--stages", "distil"], capsys)
    assert "--stages: expected some of prune, distill, quantize, code, each once and in this order" in said
    assert "found 'distil'" in said
    assert not list((tmp_path / "bad").glob("*.onnx*"))
