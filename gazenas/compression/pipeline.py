"""Stages in order, each judged by the gate before the next begins."""

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
from gazenas.errors import InputError
from gazenas.files import write_aside


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """What all stages are asked for.

    Attributes:
        calibration: ``(N, 3, S, S)`` normalized faces of training people.
        source: where they are from, for the metadata.
        max_loss: degrees that the mean error on validation people may grow by, over all stages together.
        reduce_range: 7-bit weights, for CPUs without VNNI.
        say: told what happens.
    """

    calibration: NDArray[np.float32]
    source: str
    max_loss: float
    reduce_range: bool = False
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class StageResult:
    """What a stage left.

    Attributes:
        name: of the stage.
        model: the ONNX file as a runtime holds it.
        stored: what lies on disk.
        suffix: of the stored file's name.
        judged: beside the float file.
        how: in words.
    """

    name: str
    model: bytes
    stored: bytes
    suffix: str
    judged: Judged
    how: str

    def row(self) -> dict[str, Any]:
        """For ``stages.csv``."""
        return {"stage": self.name, "how": self.how, **self.judged.to_dict()}


def quantize_stage(before: StageResult, reference: Reference, settings: StageSettings) -> StageResult:
    """Static int8."""
    found = quantize_int8(
        reference,
        settings.calibration,
        max_loss=settings.max_loss,
        reduce_range=settings.reduce_range,
        source=settings.source,
        say=settings.say,
    )
    return StageResult("quantize", found.model, found.model, ".onnx", found.judged, found.scheme)


def code_stage(before: StageResult, reference: Reference, settings: StageSettings) -> StageResult:
    """Entropy coding of what the stages before left: fewer bytes to download, the same memory and time."""
    coded = encode(before.model)
    judged = replace(before.judged, size=len(coded))
    return StageResult("code", before.model, coded, ".onnx" + SUFFIX, judged, "LZMA; unpacked where it is loaded")


STAGES: dict[str, Callable[[StageResult, Reference, StageSettings], StageResult]] = {
    "quantize": quantize_stage,
    "code": code_stage,
}


def run_stages(names: Sequence[str], reference: Reference, settings: StageSettings) -> list[StageResult]:
    """The float file and what each stage made of the one before.

    Raises:
        InputError: for an unknown stage, or where a stage loses more than is allowed.
    """
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names or len(set(names)) != len(names):
        raise InputError(f"--stages: expected each once of {', '.join(STAGES)}, found {', '.join(names) or 'none'!r}")
    plain = reference.judge(reference.model)
    done = [StageResult("float", reference.model, reference.model, ".onnx", plain, "float32")]
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
