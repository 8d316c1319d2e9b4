"""Milliseconds of onnxruntime that one unit adds, from a lookup table of the operators at the shapes of a space.

Each path is measured with the units of one group alone, at a few counts that fill the operator's lanes; between
them the table is linear. What the first unit of a path costs (its operations are started at all) is paid once, whatever group it is of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gazenas.architecture import BlockSpec, InputError
from gazenas.models.search_block import BlockWidths, one_fewer
from gazenas.ops import OPS
from gazenas.ops.units import fill_lanes
from gazenas.search.costs.site import Site

TABLE_FORMAT = 2
NOTHING = "nothing"  # a model that passes its input on: what a call costs
LEAST = 1e-6  # milliseconds that a unit takes at least
SHARES = (0.125, 0.5, 1.0)  # of a group's full width, measured besides a single unit


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
            raise InputError(
                f"--latency-table: {path}: expected a table of tools/measure_latency.py ({error!r})"
            ) from error
        if found != TABLE_FORMAT:
            raise InputError(
                f"--latency-table: {path}: expected format {TABLE_FORMAT}, found {found!r}: measure it again with tools/measure_latency.py"
            )
        return LatencyTable(entries, str(path))

    def net(self, key: str) -> float:
        """Milliseconds of one model without what a call costs.

        Raises:
            InputError: where the table lacks it.
        """
        if key not in self.ms:
            raise InputError(
                f"{self.source}: lacks {key!r}: expected a table of tools/measure_latency.py --space with the space that is searched"
            )
        return max(self.ms[key] - self.ms.get(NOTHING, 0.0), 1e-6)

    def group(self, spec: BlockSpec, side: int, operator: str, group: str, count: int) -> tuple[float, float]:
        """Milliseconds of a path with one unit of ``group`` alone, and with ``count``."""
        counts = measured_counts(spec, operator, group)
        values = [self.net(path_key(spec, side, operator, group, number)) for number in counts]
        # Noise must not make more units cheaper, nor one of them free.
        values = (np.maximum.accumulate(values) + LEAST * np.array(counts)).tolist()
        return values[0], float(np.interp(count, counts, values))

    def block(self, site: Site, widths: BlockWidths) -> float:
        """Milliseconds of a search block's paths, and of its squeeze-and-excite, with ``widths``."""
        total = 0.0
        for operator, groups in widths.items():
            parts = [
                self.group(site.spec, site.side, operator, group, count) for group, count in groups.items() if count
            ]
            if parts:
                total += max(first for first, _ in parts) + sum(value - first for first, value in parts)
        squeeze = site.block.squeeze
        return total + (self.net(squeeze_key(site.spec, site.side, squeeze.reduction)) if total and squeeze else 0.0)


def latency(site: Site, operator: str, group: str, widths: BlockWidths, *, table: LatencyTable | None = None) -> float:
    """Milliseconds of the block with ``widths`` minus those with one unit of ``group`` fewer.

    Args:
        site: the block.
        operator, group: of the unit.
        widths: of the block.
        table: to look up; without one this machine's, measured now where it is not yet in the cache.
    """
    if table is None:
        from gazenas.search.latency_kit import block_models, machine_table  # onnxruntime is needed for this alone

        squeeze = site.block.squeeze
        table = machine_table(block_models(site.spec, site.side, squeeze=squeeze.reduction if squeeze else 0))
    return table.block(site, widths) - table.block(site, one_fewer(widths, operator, group))


def measured_counts(spec: BlockSpec, operator: str, group: str) -> list[int]:
    """Numbers of units at which a group is measured: one, and more in whole lanes, up to all."""
    full = OPS[operator].full_widths(spec.in_channels, **spec.operators[operator])[group]
    return sorted({1, *(fill_lanes(share * full, OPS[operator].lanes, full) for share in SHARES)})


def path_key(spec: BlockSpec, side: int, operator: str, group: str, count: int) -> str:
    """Names a path by everything that its speed depends on, so that equal paths are measured once."""
    settings = json.dumps(spec.operators[operator], sort_keys=True)
    shape = f"{spec.in_channels}>{spec.out_channels} /{spec.stride} @{side}"
    return f"{operator} {settings} {shape}: {group} x {count}"


def squeeze_key(spec: BlockSpec, side: int, reduction: int) -> str:
    """Names the squeeze-and-excite in front of a block's paths."""
    return f"squeeze {spec.in_channels} /{reduction} @{side}"
