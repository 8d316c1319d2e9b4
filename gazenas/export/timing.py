"""How long small ONNX models take in onnxruntime on this machine, with numpy and onnxruntime alone.

A kit is a zip file of models with ``kit.json``, which says each model's key and input shape; a table is JSON with the
machine's description and milliseconds by key. ``gazenas.costs.latency`` makes the one and reads the other. A kit
carries this file along, so that a board needs nothing else of gazenas.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TABLE_FORMAT = 3
ROUNDS = 5  # passes over all models, so that a machine's drift hits all alike
ROUND_SECONDS = 0.03  # for one model in one round, and
ROUND_RUNS = 20  # at least
OnnxModels = dict[str, tuple[bytes, list[int]]]  # by key, an ONNX file and its input's shape
Table = dict[str, Any]  # what JSON holds: ``format``, ``machine``, ``ms`` by key


def describe_machine(threads: int) -> dict[str, Any]:
    """What a table's milliseconds depend on."""
    import onnxruntime  # whoever only reads a table does without

    return {
        "processor": _processor(),
        "machine": platform.machine(),
        "system": platform.system(),
        "onnxruntime": onnxruntime.__version__,
        "threads": threads,
        "batch": 1,
    }


def machine_key(machine: Mapping[str, Any]) -> str:
    """Short hash of a machine's description."""
    return hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:12]


def read_kit(kit: Path) -> OnnxModels:
    """The models of a kit, a zip file.

    Raises:
        ValueError: where the file is no kit.
    """
    try:
        with zipfile.ZipFile(kit) as archive:
            index = json.loads(archive.read("kit.json"))
            return {entry["key"]: (archive.read(entry["file"]), entry["shape"]) for entry in index["models"]}
    except (zipfile.BadZipFile, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{kit}: expected a kit of 'gazenas latency --write-kit', found {error}") from error


def measure_kit(
    kit: Path, *, threads: int = 1, on_model: Callable[[int, int], None] = lambda done, total: None
) -> Table:
    """As :func:`measure_models`, of every model of a kit; raises as :func:`read_kit`."""
    return measure_models(read_kit(kit), threads=threads, on_model=on_model)


def measure_models(
    models: OnnxModels, *, threads: int = 1, on_model: Callable[[int, int], None] = lambda done, total: None
) -> Table:
    """Times models.

    Args:
        models: by key.
        threads: of onnxruntime.
        on_model: called with how many models have been timed, and how many there are, both over all rounds.

    Returns:
        The table: ``format``, ``machine``, ``ms`` by key.
    """
    best: dict[str, float] = {}
    for number in range(ROUNDS):
        for done, (key, (data, shape)) in enumerate(models.items()):
            best[key] = min(best.get(key, np.inf), _milliseconds(data, shape, threads))
            on_model(number * len(models) + done + 1, ROUNDS * len(models))
    return {"format": TABLE_FORMAT, "machine": describe_machine(threads), "ms": best}


def _milliseconds(data: bytes, shape: list[int], threads: int) -> float:
    """The fastest of many runs: where others use the machine too, whatever is slower is theirs."""
    import onnxruntime  # whoever only reads a table does without

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    feed = {name: np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}
    for _ in range(3):
        session.run(None, feed)
    times: list[float] = []
    until = time.perf_counter() + ROUND_SECONDS
    while len(times) < ROUND_RUNS or (time.perf_counter() < until and len(times) < 1000):
        begin = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def _processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.split(":", 1) for line in info.read_text(encoding="utf-8", errors="replace").splitlines()]
        values = {parts[0].strip().lower(): parts[1].strip() for parts in lines if len(parts) == 2}
        for name in ("model name", "hardware", "model"):  # x86, older ARM, Raspberry Pi
            if values.get(name):
                return values[name]
    return platform.processor() or f"unknown, {os.cpu_count()} cores"
