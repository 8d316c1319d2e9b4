"""``gazenas compress``: stages that train are runs of their own, a size chooses its stages, a kill loses nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gazenas.__main__ import main
from gazenas.compression.coding import encode
from gazenas.compression.gate import GateError, Reference
from gazenas.compression.pipeline import StageSettings, TrainingOrder
from gazenas.compression.plan import CompressionPlan, coded_sizes, plans_for, run_plans
from gazenas.compression.precision import int8_of_run, trained_ranges
from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.models.zoo import build_model, load_model
from tests.running import TUNE, begin, run_bad

SHORT = ("--epochs", "1", "--batch-size", "16", "--threads", "1", "--calibration-images", "20", "--must-be", "")


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "stages.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_stage_and_a_kill_between(
    trained: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the MACs leave, a teacher helps, weights of 4 bits are trained for; what a kill interrupted goes on."""
    out = tmp_path / "out"
    stages = ["--stages", "prune,distill,quantize,code", "--target-macs", "60%", "--teacher", str(trained)]
    words = ["compress", str(trained), "--data", str(data_folder), *SHORT, *stages, "--quantize", "int4"]
    words += ["--max-loss", "90", "--rounds", "2", "--out", str(out)]
    begin(words, "quantization.json", "1").communicate()
    assert (out / "prune" / "summary.json").exists()
    pruned = (out / "prune" / "weights.safetensors").stat().st_mtime_ns
    assert main([*words, "--resume"]) == 0
    assert (out / "prune" / "weights.safetensors").stat().st_mtime_ns == pruned
    assert "is finished" in capsys.readouterr().out
    rows = rows_of(out)
    assert [row["stage"] for row in rows] == ["float", "prune", "distill", "quantize", "code"]
    smaller = load_model(out / "quantize-int4")
    assert count_macs(smaller, 32) <= 0.6 * count_macs(load_model(trained), 32)
    assert int(rows[-1]["size"]) == (out / "model.onnx.xz").stat().st_size
    assert rows[-2]["how"] == "trained for int4, ranges of the training"
    ranges = trained_ranges(str(out / "quantize-int4"))
    assert ranges is not None
    assert int8_of_run(smaller, ranges)[0] == (out / "model.onnx").read_bytes()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["began_with"]
    assert (out / "plots" / "compression.png").exists()
    said = run_bad([*words[:3], str(data_folder), "--out", str(tmp_path / "x"), "--stages", "prune"], capsys)
    assert "prune needs one of --target-macs, --target-params, --target-ms" in said
    said = run_bad([*words[:3], str(data_folder), "--out", str(tmp_path / "y"), "--stages", "distill"], capsys)
    assert "distill needs --teacher" in said


def test_a_size_chooses_its_stages(trained: Path, data_folder: Path, tmp_path: Path) -> None:
    """The gentlest that fit: calibration where bytes of 8 bits are few enough, training for fewer where not."""
    network = load_model(trained)
    faces = np.random.default_rng(0).standard_normal((20, 3, 32, 32)).astype(np.float32)
    known, params = coded_sizes(network, faces), count_params(network)
    sizes = {name: size for name, (size, _) in known.items()}
    assert sizes["int8"] > sizes["int6"] > sizes["int4"]
    plans = plans_for(known, params, sizes["int8"])
    assert [(plan.stages, plan.quantize) for plan in plans] == [
        (("quantize", "code"), quantize) for quantize in ("none", "int8", "int6", "int4")
    ]
    assert [plan.quantize for plan in plans_for(known, params, sizes["int6"])] == ["int6", "int4"]
    (plan,) = plans_for(known, params, sizes["int4"] - 500)
    assert plan.stages[0] == "prune"
    assert 0 < plan.params < params
    with pytest.raises(InputError, match="--target-size: 100 bytes are out of reach: without any weight the file has"):
        plans_for(known, params, 100)
    target = (sizes["int6"] + sizes["int4"]) // 2
    words = ["compress", str(trained), "--data", str(data_folder), *SHORT, "--max-loss", "90", "--out", str(tmp_path)]
    assert main([*words, "--target-size", str(target)]) == 0
    assert (tmp_path / "model.onnx.xz").stat().st_size <= target
    assert rows_of(tmp_path)[1]["how"] == "trained for int4, ranges of the training"


@pytest.mark.slow
def test_sizes_are_known_before_training(trained: Path, data_folder: Path, tmp_path: Path) -> None:
    network = load_model(trained)
    faces = np.random.default_rng(0).standard_normal((20, 3, 32, 32)).astype(np.float32)
    run = tmp_path / "run"
    words = ["finetune", "--arch", str(trained), "--weights", str(trained / "weights.safetensors"), *TUNE]
    assert main([*words, "--data", str(data_folder), "--quantize", "int4", "--out", str(run)]) == 0
    ranges = trained_ranges(str(run))
    assert ranges is not None
    found = len(encode(int8_of_run(load_model(run), ranges)[0]))
    assert coded_sizes(network, faces)["int4"][0] == pytest.approx(found, rel=0.1)


def test_what_every_plan_would_have_given_is_said(trained: Path) -> None:
    """A plan that loses too much is refused by the gate, and the next is tried."""
    network = build_model("handmade-5m").eval()
    faces = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    from gazenas.export.onnx import onnx_bytes

    data = onnx_bytes(network)
    reference = Reference(data, faces, np.full((8, 2), 0.3, np.float32))
    calibration = np.random.default_rng(1).standard_normal((8, 3, 64, 64)).astype(np.float32)
    told: list[str] = []
    orders: list[TrainingOrder] = []

    def train(order: TrainingOrder) -> Path:
        orders.append(order)
        raise GateError("lost 3 degrees")

    settings = StageSettings(calibration=calibration, source="", max_loss=5.0, train=train, say=told.append)
    plans = [CompressionPlan(("quantize", "code"), name, 0, 1000) for name in ("int6", "int4")]
    with pytest.raises(GateError, match="no plan reaches 1,000 bytes: .*int6.*lost 3 degrees; .*int4.*lost 3 degrees"):
        run_plans(plans, "name", reference, settings, 1000)
    assert [order.quantize for order in orders] == ["int6", "int4"]
    coded = CompressionPlan(("code",), "none", 0, 1000)
    with pytest.raises(GateError, match=r"\d+ bytes, \+0.000 degrees"):
        run_plans([coded], "name", reference, settings, 1000)
    assert run_plans([coded], "name", reference, settings, len(data))[1][-1].judged.size < len(data)
