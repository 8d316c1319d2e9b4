"""Small ONNX models of every path of a space at a few widths, to be timed here or on another board."""

from __future__ import annotations

import itertools
import json
import logging
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from gazenas.costs.latency.table import (
    NOTHING,
    PAIRS,
    STREAM_SHARES,
    LatencyTable,
    channel_grid,
    convolution_key,
    measured_counts,
    multiple_key,
    path_key,
    squeeze_key,
    thinner,
)
from gazenas.export.forms import runtime_form
from gazenas.export.timing import TABLE_FORMAT, describe_machine, machine_key, measure_kit
from gazenas.files import cache_folder, write_aside
from gazenas.models.build import full_architecture
from gazenas.models.parts import BlockPart, HeadPart, Part, StemPart, leaving_together
from gazenas.models.zoo import build_subnet, build_supernet
from gazenas.ops import OPS, build_operator
from gazenas.ops.channels import ALIGNED, round_up
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.units import Convolution
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import STREAM, SearchSpace, Size
from gazenas.training.processes import ALONE, World

THREADS = 1
BEAT_SECONDS = 30.0
OPSET = 18
THINNED = (1.0, 0.0, 0.25, 0.5, 0.125)  # shares that one unit group after another keeps, in turns
# By key, what builds a model, and its input's channels, height and width.
Models = dict[str, tuple[Callable[[], nn.Module], int, Size]]


def space_models(space: SearchSpace) -> Models:
    """Everything that the table of a space holds: its layers and paths, and whole networks."""
    models: Models = {NOTHING: (nn.Identity, 1, (1, 1))}
    for part in build_supernet(space).parts().values():
        models |= part_models(part, searched=bool(space.searched_streams()))
    for which, arch in whole_networks(space).items():
        models[network_key(space, which)] = (partial(build_subnet, arch), 3, (space.input_size, space.input_size))
    return models


def whole_networks(space: SearchSpace) -> dict[str, Architecture]:
    """``full``, ``empty`` (no units), and as many thinned ones as ``THINNED`` has shares: by them the table's sums
    are scaled and checked."""
    shares = {"full": [1.0], "empty": [0.0]}
    shares |= {f"thinned {turn}": [*THINNED[turn:], *THINNED[:turn]] for turn in range(len(THINNED))}
    return {which: _thinned(space, in_turns) for which, in_turns in shares.items()}


def _thinned(space: SearchSpace, shares: list[float]) -> Architecture:
    share = itertools.cycle(shares)

    def count(block: str, operator: str, group: str, units: int) -> int:
        least = space.least_stream_width if operator == STREAM else 0
        together = leaving_together(operator, max(ALIGNED, space.channel_multiple))
        return max(least, round_up(next(share) * units, together, units))

    return full_architecture(space).with_counts(count)


def part_models(part: Part, *, searched: bool) -> Models:
    """What the table needs to time a part, ``searched`` saying whether the streams around it are."""
    models: Models = {NOTHING: (nn.Identity, 1, (1, 1))}
    for count in itertools.chain(*PAIRS.values()):
        models[multiple_key(count)] = (partial(nn.Conv2d, count, count, 3, 1, 1), count, (16, 16))
    if isinstance(part, BlockPart):
        models |= _block_models(part, searched)
    elif searched:
        assert isinstance(part, StemPart | HeadPart), type(part).__name__
        for layer in part.convolutions({}):  # without widths, at full width
            models |= _convolution_models(layer)
    return models


def _block_models(part: BlockPart, searched: bool) -> Models:
    """Each path with the units of one group alone, at a few counts, or its convolutions; the squeeze-and-excite; the
    residual."""
    models: Models = {}
    spec, full = part.spec, part.extent({})
    ends = [thinner(full, share) for share in STREAM_SHARES] if searched else [full]
    for operator, path in part.block.operators().items():
        settings = spec.operators[operator]
        offered = OPS[operator].full_widths(spec.in_channels, **settings)
        for layer in path.convolutions(offered, full) or []:
            models |= _convolution_models(layer)
        if path.convolutions(offered, full) is not None:
            continue
        for extent, (group, most) in itertools.product(ends, offered.items()):
            for count in measured_counts(operator, most):
                widths = dict.fromkeys(offered, 0) | {group: count}
                build = partial(
                    build_operator,
                    operator,
                    in_channels=extent.in_channels,
                    out_channels=extent.out_channels,
                    stride=spec.stride,
                    widths=widths,
                    importance=False,
                    **settings,
                )
                key = path_key(extent, spec.stride, operator, settings, group, count)
                models[key] = (build, extent.in_channels, part.size)
    if part.block.squeeze is not None:
        hidden = part.block.squeeze.hidden
        for extent in ends:
            build_excite = partial(SqueezeExcite, channels=extent.in_channels, hidden=hidden)
            models[squeeze_key(extent, hidden)] = (build_excite, extent.in_channels, part.size)
    if searched and part.block.residual is not None:
        models |= _convolution_models(part.block.residual.convolution(full))
    return models


def _convolution_models(full: Convolution) -> Models:
    """A convolution at every point of the grid up to ``full``."""
    models: Models = {}
    for before, after in itertools.product(channel_grid(full.in_channels), channel_grid(full.out_channels)):
        layer = full.resized(before, after)
        models[convolution_key(layer)] = (partial(_layer, layer), before, (layer.height, layer.width))
    return models


def _layer(layer: Convolution) -> nn.Module:
    """A convolution followed by a ReLU, as nearly all are, or a linear layer."""
    if layer.height == layer.width == 1:
        return nn.Sequential(nn.Flatten(), nn.Linear(layer.in_channels, layer.out_channels), nn.ReLU())
    padding = layer.kernel // 2
    convolution = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel, layer.stride, padding)
    return nn.Sequential(convolution, nn.ReLU())


def write_kit(
    models: Models,
    path: Path,
    *,
    programs: Mapping[str, str] = MappingProxyType({}),
    on_model: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Writes models as a kit that ``gazenas.export.timing.measure_kit`` times.

    Args:
        models: to be timed.
        path: zip file to write.
        programs: text files that go along, by their names in the zip file.
        on_model: called with how many models have been written, and how many there are.
    """
    index = []
    with write_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (key, (build, channels, size)) in enumerate(models.items()):
            shape = [1, channels, *size]
            archive.writestr(f"{number}.onnx", _onnx_bytes(build(), shape))
            index.append({"key": key, "file": f"{number}.onnx", "shape": shape})
            on_model(number + 1, len(models))
        for name, text in programs.items():
            archive.writestr(name, text)
        archive.writestr("kit.json", json.dumps({"format": TABLE_FORMAT, "models": index}, indent=1))


def machine_table(models: Models, world: World = ALONE) -> LatencyTable:
    """This machine's table with at least ``models``; what is not yet in the cache is measured now.

    Several processes take what rank 0 finds or measures, so that all reckon with the same milliseconds and one writes
    the cache. The
    others wait for longer than an exchange may take: meanwhile rank 0 gives a sign of life now and then.
    """
    if world.main:
        found = world.take(_known_or_measured(models, Heartbeat(world)))
    else:
        while (found := world.take(None)) is None:
            pass
    ms, source = found
    return LatencyTable(ms, source)


class Heartbeat:
    """Tells waiting processes, at most once in ``BEAT_SECONDS``, that there is nothing to take yet."""

    def __init__(self, world: World) -> None:
        self.world, self.last = world, time.monotonic()

    def __call__(self, *_: object) -> None:
        """To be called often."""
        if time.monotonic() - self.last > BEAT_SECONDS:
            self.last = time.monotonic()
            self.world.take(None)


def _known_or_measured(models: Models, beat: Callable[..., None]) -> tuple[dict[str, float], str]:
    """Milliseconds by key, and the file of the cache that holds them."""
    machine = describe_machine(THREADS)
    path = cache_folder() / f"latency-{TABLE_FORMAT}-{machine_key(machine)}.json"
    known = LatencyTable.load(path).ms if path.exists() else {}
    missing = {key: model for key, model in models.items() if key not in known}
    if missing:
        with tempfile.TemporaryDirectory() as aside:
            kit = Path(aside) / "kit.zip"
            write_kit(missing, kit, on_model=beat)
            known |= measure_kit(kit, threads=THREADS, on_model=beat)["ms"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_aside(path) as half:
            half.write_text(
                json.dumps({"format": TABLE_FORMAT, "machine": machine, "ms": known}, indent=1), encoding="utf-8"
            )
    return known, str(path)


def network_key(space: SearchSpace, which: str) -> str:
    """Names one of ``whole_networks``."""
    return f"network {full_architecture(space).fingerprint()} {which}"


def _onnx_bytes(model: nn.Module, shape: list[int]) -> bytes:
    """A model for timing alone. The exporter that shipped files use takes seconds for each of these hundreds."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as aside:
        warnings.simplefilter("ignore")  # says that this exporter is deprecated
        path = Path(aside) / "model.onnx"
        torch.onnx.export(runtime_form(model), (torch.zeros(shape),), str(path), dynamo=False, opset_version=OPSET)
        return path.read_bytes()
