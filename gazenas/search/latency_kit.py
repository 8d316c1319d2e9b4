"""Small ONNX models of every path of a space at a few widths, to be timed here or on another board."""

from __future__ import annotations

import itertools
import json
import logging
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from gazenas.architecture import Architecture, BlockSpec, SearchSpace, write_aside
from gazenas.export.timing import describe_machine, machine_key, measure_kit
from gazenas.models.builders import build_subnet, full_architecture
from gazenas.ops import OPS
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.units import fill_lanes
from gazenas.search.costs.latency import NOTHING, TABLE_FORMAT, LatencyTable, measured_counts, path_key, squeeze_key

THREADS = 1
OPSET = 18
THINNED = (1.0, 0.0, 0.25, 0.5, 0.125)  # shares that one unit group after another keeps, in turns
# By key, what builds a model, and its input's channels and side.
Models = dict[str, tuple[Callable[[], nn.Module], int, int]]


def space_models(space: SearchSpace) -> Models:
    """Everything that the table of a space holds: its paths, and whole networks."""
    models: Models = {NOTHING: (nn.Identity, 1, 1)}
    for spec in space.blocks():
        models |= block_models(spec, space.input_size // spec.reduction, squeeze=space.squeeze)
    for which, arch in whole_networks(space).items():
        models[network_key(space, which)] = (lambda arch=arch: build_subnet(arch), 3, space.input_size)  # type: ignore[misc]
    return models


def whole_networks(space: SearchSpace) -> dict[str, Architecture]:
    """``full``, ``empty`` (no units), and as many thinned ones as ``THINNED`` has shares: by them the table's sums are scaled and checked."""
    shares = {"full": [1.0], "empty": [0.0]}
    shares |= {f"thinned {turn}": [*THINNED[turn:], *THINNED[:turn]] for turn in range(len(THINNED))}
    return {which: _thinned(space, in_turns) for which, in_turns in shares.items()}


def _thinned(space: SearchSpace, shares: list[float]) -> Architecture:
    share = itertools.cycle(shares)
    return full_architecture(space).with_counts(
        lambda block, operator, group, units: fill_lanes(next(share) * units, OPS[operator].lanes, units)
    )


def block_models(spec: BlockSpec, side: int, *, squeeze: int) -> Models:
    """Each path with the units of one group alone, at a few counts, and the squeeze-and-excite in front, if any."""
    models: Models = {NOTHING: (nn.Identity, 1, 1)}
    for operator, settings in spec.operators.items():
        full = OPS[operator].full_widths(spec.in_channels, **settings)
        for group in full:
            for count in measured_counts(spec, operator, group):
                widths = dict.fromkeys(full, 0) | {group: count}

                def build(operator: str = operator, widths: dict[str, int] = widths) -> nn.Module:
                    path: nn.Module = OPS[operator](
                        in_channels=spec.in_channels,
                        out_channels=spec.out_channels,
                        stride=spec.stride,
                        widths=widths,
                        importance=False,
                        **spec.operators[operator],
                    )
                    return path

                models[path_key(spec, side, operator, group, count)] = (build, spec.in_channels, side)
    if squeeze:
        models[squeeze_key(spec, side, squeeze)] = (
            lambda: SqueezeExcite(channels=spec.in_channels, reduction=squeeze),
            spec.in_channels,
            side,
        )
    return models


def write_kit(models: Models, path: Path) -> None:
    """Writes models as a kit that ``gazenas.export.timing.measure_kit`` times."""
    index = []
    with write_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (key, (build, channels, side)) in enumerate(models.items()):
            shape = [1, channels, side, side]
            archive.writestr(f"{number}.onnx", _onnx_bytes(build(), shape))
            index.append({"key": key, "file": f"{number}.onnx", "shape": shape})
        archive.writestr("kit.json", json.dumps({"format": TABLE_FORMAT, "models": index}, indent=1))


def machine_table(models: Models) -> LatencyTable:
    """This machine's table with at least ``models``; what is not yet in the cache is measured now."""
    machine = describe_machine(THREADS)
    path = cache_folder() / f"latency-{TABLE_FORMAT}-{machine_key(machine)}.json"
    known = LatencyTable.load(path).ms if path.exists() else {}
    missing = {key: model for key, model in models.items() if key not in known}
    if missing:
        with tempfile.TemporaryDirectory() as aside:
            kit = Path(aside) / "kit.zip"
            write_kit(missing, kit)
            known |= measure_kit(kit, threads=THREADS)["ms"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_aside(path) as half:
            half.write_text(
                json.dumps({"format": TABLE_FORMAT, "machine": machine, "ms": known}, indent=1), encoding="utf-8"
            )
    return LatencyTable(known, str(path))


def cache_folder() -> Path:
    """Where tables of this machine are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gazenas"


def network_key(space: SearchSpace, which: str) -> str:
    """Names one of ``whole_networks``."""
    return f"network {full_architecture(space).fingerprint()} {which}"


def _onnx_bytes(model: nn.Module, shape: list[int]) -> bytes:
    """A model for timing alone. The exporter that shipped files use takes seconds for each of these hundreds."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as aside:
        warnings.simplefilter("ignore")  # says that this exporter is deprecated
        path = Path(aside) / "model.onnx"
        torch.onnx.export(model.eval(), (torch.zeros(shape),), str(path), dynamo=False, opset_version=OPSET)
        return path.read_bytes()
