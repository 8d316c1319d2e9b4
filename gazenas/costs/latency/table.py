"""Milliseconds of onnxruntime by a lookup table of a space's layers at the shapes that a search can give them.

Plain convolutions are measured each for itself, at a grid of channels in and out; between its points the table is
linear. Other paths are measured with the units of one group alone, at a few counts, and what the first unit of a path
costs (its operations are started at all) is paid once, whatever group it is of; where streams are searched, at full and
at half of their width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gazenas.errors import InputError
from gazenas.export.timing import TABLE_FORMAT
from gazenas.models.parts import BlockPart, HeadPart, NetworkWidths, Part, StemPart, leaving_together
from gazenas.ops import OPS
from gazenas.ops.channels import ALIGNED, BLOCK, SMALL_BLOCK, round_up
from gazenas.ops.units import Convolution, Extent, Widths

NOTHING = "nothing"  # a model that passes its input on: what a call costs
LEAST = 1e-6  # milliseconds that a unit takes at least
SHARES = (0.125, 0.5, 1.0)  # of a group's full width, measured besides a single unit
STREAM_SHARES = (0.5, 1.0)  # of the streams' full widths, at which paths are measured where streams are searched
CHANNELS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)
# By the number of channels that may be computed together, the largest first, the two counts that show it.
PAIRS = {BLOCK: (40, 48), SMALL_BLOCK: (20, 24)}
# where the smaller count of a pair takes more than this share of the larger one's time, both are computed alike
PADDED = 0.85


class LatencyTable:
    """Milliseconds by key, as ``gazenas.export.timing`` measured them.

    Args:
        ms: by key.
        source: for messages.
    """

    def __init__(self, ms: Mapping[str, float], source: str) -> None:
        self.ms, self.source = dict(ms), source

    @staticmethod
    def load(path: Path) -> LatencyTable:
        """Reads a table.

        Raises:
            InputError: where the file is none.
        """
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            entries = {str(key): float(value) for key, value in table["ms"].items()}
            found = table["format"]
        except OSError as error:
            raise InputError(f"--latency-table: {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"--latency-table: {path}: expected a table of 'gazenas latency' ({error!r})") from error
        if found != TABLE_FORMAT:
            raise InputError(
                f"--latency-table: {path}: expected format {TABLE_FORMAT}, found {found!r}: measure it again with "
                f"'gazenas latency'"
            )
        return LatencyTable(entries, str(path))

    @property
    def channel_multiple(self) -> int:
        """The number of channels that the measured machine computes together: 4, 8 or 16."""
        for multiple, pair in PAIRS.items():
            smaller, larger = (self.net(multiple_key(count)) for count in pair)
            if smaller > PADDED * larger:
                return multiple
        return ALIGNED

    def net(self, key: str) -> float:
        """Milliseconds of one model without what a call costs.

        Raises:
            InputError: where the table lacks it.
        """
        if key not in self.ms:
            raise InputError(
                f"{self.source}: lacks {key!r}: expected a table of 'gazenas latency --space' with the space that is "
                f"searched"
            )
        return max(self.ms[key] - self.ms.get(NOTHING, 0.0), 1e-6)

    def part(self, part: Part, widths: NetworkWidths) -> float:
        """Milliseconds of a part's paths, and of what reads or writes searched streams, with ``widths``."""
        if isinstance(part, BlockPart):
            return self._block(part, widths)
        if not any(stream in widths for stream in part.streams):
            return 0.0
        assert isinstance(part, StemPart | HeadPart), type(part).__name__
        return self._convolutions(part.convolutions(widths), part.convolutions({}))  # without widths, at full width

    def _block(self, part: BlockPart, widths: NetworkWidths) -> float:
        spec, extent, full = part.spec, part.extent(widths), part.extent({})
        searched = any(stream in widths for stream in part.streams)
        units = widths[spec.name]
        spent = 0.0
        for operator, path in part.block.operators().items():
            counts = units[operator]
            if not any(counts.values()):
                continue
            offered = OPS[operator].full_widths(spec.in_channels, **spec.operators[operator])
            plain = path.convolutions(counts, extent)
            if plain is not None:
                spent += self._convolutions(plain, path.convolutions(offered, full) or [])
            else:
                spent += self._path(part, operator, counts, offered, extent if searched else full)
        squeeze = part.block.squeeze
        if squeeze is not None and spent:
            spent += self._between(
                full, extent if searched else full, lambda at: self.net(squeeze_key(at, squeeze.hidden))
            )
        if searched and part.block.residual is not None:
            residual = part.block.residual
            spent += self._convolutions([residual.convolution(extent)], [residual.convolution(full)])
        return spent

    def _convolutions(self, layers: Sequence[Convolution], full: Sequence[Convolution]) -> float:
        return sum(self.convolution(layer, most) for layer, most in zip(layers, full, strict=True))

    def convolution(self, layer: Convolution, full: Convolution) -> float:
        """Milliseconds of a plain convolution, of which the space offers ``full``; linear between the grid's points."""
        if not layer.in_channels or not layer.out_channels:
            return 0.0
        before, after = channel_grid(full.in_channels), channel_grid(full.out_channels)
        by_input = [
            np.interp(layer.out_channels, after, [self.net(convolution_key(layer.resized(i, o))) for o in after])
            for i in _around(layer.in_channels, before)
        ]
        found = float(np.interp(layer.in_channels, _around(layer.in_channels, before), by_input))
        # Noise must not make a channel free.
        return found + LEAST * (layer.in_channels + layer.out_channels)

    def _path(self, part: BlockPart, operator: str, counts: Widths, offered: Widths, extent: Extent) -> float:
        """Milliseconds of a path that is measured as a whole."""

        def at(ends: Extent) -> float:
            groups = [(group, count) for group, count in counts.items() if count]
            pairs = [self._group(part, ends, operator, group, count, offered[group]) for group, count in groups]
            return max(first for first, _ in pairs) + sum(value - first for first, value in pairs)

        return self._between(part.extent({}), extent, at)

    def _group(
        self, part: BlockPart, ends: Extent, operator: str, group: str, count: int, most: int
    ) -> tuple[float, float]:
        """Milliseconds of a path with one unit of ``group`` alone, and with ``count``."""
        counts = measured_counts(operator, most)
        settings = part.spec.operators[operator]
        keys = [path_key(ends, part.spec.stride, operator, settings, group, number) for number in counts]
        # Noise must not make more units cheaper, nor one of them free.
        values = (np.maximum.accumulate([self.net(key) for key in keys]) + LEAST * np.array(counts)).tolist()
        return values[0], float(np.interp(count, counts, values))

    def _between(self, full: Extent, extent: Extent, at: Callable[[Extent], float]) -> float:
        """``at`` the widths of ``extent``, between or beyond those of the two measured ones."""
        most = at(full)
        if extent == full:
            return most
        half = thinner(full, STREAM_SHARES[0])
        share = (extent.in_channels + extent.out_channels) / (full.in_channels + full.out_channels)
        slope = max(most - at(half), 0.0) / (1 - STREAM_SHARES[0])
        return max(most - (1 - share) * slope, LEAST)


def measured_counts(operator: str, full: int) -> list[int]:
    """Numbers of units at which a group is measured: one, and more up to all."""
    step = leaving_together(operator, ALIGNED)
    return sorted({1, *(round_up(share * full, step, full) for share in SHARES)})


def channel_grid(full: int) -> list[int]:
    """Counts of channels at which convolutions are measured, up to ``full``; an image's three stand alone."""
    return [full] if full < CHANNELS[0] else [*(count for count in CHANNELS if count < full), full]


def thinner(extent: Extent, share: float) -> Extent:
    """``extent`` between streams of a share of their widths."""
    before, after = (max(1, round(share * count)) for count in (extent.in_channels, extent.out_channels))
    return replace(extent, in_channels=before, out_channels=after)


def convolution_key(layer: Convolution) -> str:
    """Names a plain convolution by everything that its speed depends on."""
    return (
        f"conv {layer.kernel} /{layer.stride} @{layer.height}x{layer.width}: {layer.in_channels}>{layer.out_channels}"
    )


def path_key(ends: Extent, stride: int, operator: str, settings: Mapping[str, Any], group: str, count: int) -> str:
    """Names a path by everything that its speed depends on, so that equal paths are measured once."""
    shape = f"{ends.in_channels}>{ends.out_channels} /{stride} @{ends.height}x{ends.width}"
    return f"{operator} {json.dumps(settings, sort_keys=True)} {shape}: {group} x {count}"


def squeeze_key(ends: Extent, hidden: int) -> str:
    """Names the squeeze-and-excite in front of a block's paths."""
    return f"squeeze {ends.in_channels} /{hidden} @{ends.height}x{ends.width}"


def multiple_key(count: int) -> str:
    """Names a convolution of ``count`` channels that shows how many are computed together."""
    return f"multiple {count}"


def _around(count: int, grid: Sequence[int]) -> list[int]:
    """The points of the grid on both sides of a count, or the one that it is or lies beyond."""
    below, above = [at for at in grid if at <= count], [at for at in grid if at >= count]
    return sorted({(below or above)[-1 if below else 0], (above or below)[0 if above else -1]})
