"""Stages in order, each judged by the gate before the next begins: networks become smaller, then their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.compression.coding import SUFFIX, encode
from gazenas.compression.gate import Judged, Reference, check_gate
from gazenas.compression.int8 import quantize_int8
from gazenas.compression.precision import int8_of_run, trained_ranges
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.files import write_aside
from gazenas.models.zoo import load_model


@dataclass(frozen=True)
class TrainingOrder:
    """A training that a stage asks for.

    Attributes:
        stage: that asks, ``prune``, ``distill`` or ``quantize``.
        model: a run folder or a name, what to begin with.
        quantize: a key of ``gazenas.layers.fake_quantize.WEIGHT_BITS``, or ``none``.
        params: that pruning leaves at most; 0 for what the person asked for.
    """

    stage: str
    model: str
    quantize: str = "none"
    params: int = 0


def _no_training(order: TrainingOrder) -> Path:
    raise InputError(f"--stages: {order.stage} trains, and nothing to train with was given")


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """What all stages are asked for.

    Attributes:
        calibration: ``(N, 3, S, S)`` normalized faces of training people.
        source: where they are from, for the metadata.
        max_loss: degrees that the mean error on validation people may grow by, over all stages together.
        reduce_range: 7-bit weights, for CPUs without VNNI.
        quantize: ``none`` to quantize by calibration, else what to train for.
        params: that pruning leaves at most; 0 for what the person asked for.
        train: makes or finishes a run and gives its folder.
        say: told what happens.
    """

    calibration: NDArray[np.float32]
    source: str
    max_loss: float
    reduce_range: bool = False
    quantize: str = "none"
    params: int = 0
    train: Callable[[TrainingOrder], Path] = _no_training
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class StageResult:
    """What a stage left.

    Attributes:
        name: of the stage.
        model: the ONNX file as a runtime holds it.
        stored: what lies on disk.
        suffix: of the stored file's name.
        judged: beside the float file that everything began with.
        how: in words.
        origin: run folder or name of the network in the file.
    """

    name: str
    model: bytes
    stored: bytes
    suffix: str
    judged: Judged
    how: str
    origin: str

    def row(self) -> dict[str, Any]:
        """For ``stages.csv``."""
        return {"stage": self.name, "how": self.how, **self.judged.to_dict()}


def prune_stage(before: StageResult, reference: Reference, settings: StageSettings) -> StageResult:
    """Channels leave in rounds, and what is left trains."""
    run = settings.train(TrainingOrder("prune", before.origin, params=settings.params))
    return _trained("prune", run, "channels removed, then trained", reference)


def distill_stage(before: StageResult, reference: Reference, settings: StageSettings) -> StageResult:
    """The network trains on, also on a teacher's answers."""
    return _trained(
        "distill", settings.train(TrainingOrder("distill", before.origin)), "trained by a teacher", reference
    )


def quantize_stage(before: StageResult, reference: Reference, settings: StageSettings) -> StageResult:
    """int8: as a run was trained for, trained now, or calibrated."""
    origin, calibrated = before.origin, settings.quantize == "none"
    if not calibrated:
        origin = str(settings.train(TrainingOrder("quantize", before.origin, settings.quantize)))
    ranges = trained_ranges(origin)
    if ranges is not None:
        model, how = int8_of_run(load_model(origin), ranges)
        return StageResult("quantize", model, model, ".onnx", reference.judge(model), how, origin)
    found = quantize_int8(
        replace(reference, model=before.model),
        settings.calibration,
        max_loss=settings.max_loss - before.judged.loss,
        reduce_range=settings.reduce_range,
        source=settings.source,
        say=settings.say,
    )
    judged = reference.judge(found.model)
    return StageResult("quantize", found.model, found.model, ".onnx", judged, found.scheme, origin)


def code_stage(before: StageResult, reference: Reference, settings: StageSettings) -> StageResult:
    """Entropy coding of what the stages before left: fewer bytes to download, the same memory and time."""
    coded = encode(before.model)
    judged = replace(before.judged, size=len(coded))
    how = "LZMA; unpacked where it is loaded"
    return StageResult("code", before.model, coded, ".onnx" + SUFFIX, judged, how, before.origin)


STAGES: dict[str, Callable[[StageResult, Reference, StageSettings], StageResult]] = {
    "prune": prune_stage,
    "distill": distill_stage,
    "quantize": quantize_stage,
    "code": code_stage,
}


def check_stages(names: Sequence[str]) -> None:
    """Raises InputError for an unknown stage, none, one twice, or another order than that of ``STAGES``."""
    if not names or [*names] != [name for name in STAGES if name in names]:
        raise InputError(
            f"--stages: expected some of {', '.join(STAGES)}, each once and in this order, found "
            f"{', '.join(names) or 'none'!r}"
        )


def run_stages(names: Sequence[str], origin: str, reference: Reference, settings: StageSettings) -> list[StageResult]:
    """The float file and what each stage made of the one before.

    Args:
        names: of ``STAGES``.
        origin: run folder or name of the float file's network.
        reference: the float file and faces to judge on.
        settings: of all stages.

    Raises:
        InputError: for other names, or where a stage loses more than is allowed.
    """
    check_stages(names)
    plain = reference.judge(reference.model)
    done = [StageResult("float", reference.model, reference.model, ".onnx", plain, "float32", origin)]
    for name in names:
        stage = STAGES[name](done[-1], reference, settings)
        check_gate(stage.judged, max_loss=settings.max_loss)
        done.append(stage)
    return done


def write_stage(stage: StageResult, folder: Path) -> Path:
    """Writes what a stage left as ``model.onnx`` or ``model.onnx.xz``."""
    path = folder / f"model{stage.suffix}"
    with write_aside(path) as aside:
        aside.write_bytes(stage.stored)
    return path


def _trained(name: str, run: Path, how: str, reference: Reference) -> StageResult:
    """A stage that left a network."""
    model = onnx_bytes(load_model(run))
    return StageResult(name, model, model, ".onnx", reference.judge(model), how, str(run))
