"""What a network consists of, for whoever asks how much each part takes at given widths: stem, search blocks, head.

A part's amounts depend on its own units and on the widths of the streams that it reads and writes, so that a unit's
cost is the difference that it makes over the parts that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from gazenas.models.heads import Head
from gazenas.models.search_block import BlockWidths, SearchBlock
from gazenas.ops import OPS
from gazenas.ops.units import Convolution, Extent
from gazenas.space.search_space import CHANNEL, STREAM, BlockSpec, SearchSpace, Size

NetworkWidths = Mapping[str, BlockWidths]  # by block, and by stream where streams are searched


class Part(Protocol):
    """Something that takes MACs and parameters."""

    @property
    def streams(self) -> tuple[str, ...]:
        """What it reads and writes."""
        ...

    def macs(self, widths: NetworkWidths) -> int:
        """For one image."""
        ...

    def params(self, widths: NetworkWidths) -> int:
        """Of the frozen network."""
        ...

    def paper(self, widths: NetworkWidths) -> int:
        """What the paper charges for its units."""
        ...


def stream_width(widths: NetworkWidths, stream: str, full: int) -> int:
    """Channels of a stream, which is as wide as its space says where streams are not searched."""
    return widths[stream][STREAM][CHANNEL] if stream in widths else full


def leaving_together(operator: str, channel_multiple: int) -> int:
    """How many units of an operator, or of a stream, leave together where channels come in a multiple."""
    return channel_multiple if operator == STREAM or OPS[operator].channelwise else 1


@dataclass(frozen=True)
class BlockPart:
    """A search block, what the space says of it, and its input's height and width in pixels."""

    block: SearchBlock
    spec: BlockSpec
    size: Size

    @property
    def streams(self) -> tuple[str, ...]:
        """The one that it reads, then the one that it writes, where that is another."""
        return tuple(dict.fromkeys((self.spec.source, self.spec.target)))

    def extent(self, widths: NetworkWidths) -> Extent:
        """Channels and pixels."""
        source = stream_width(widths, self.spec.source, self.spec.in_channels)
        target = stream_width(widths, self.spec.target, self.spec.out_channels)
        return Extent(source, target, *self.size)

    def macs(self, widths: NetworkWidths) -> int:
        """For one image."""
        return self.block.macs(widths[self.spec.name], self.extent(widths))

    def params(self, widths: NetworkWidths) -> int:
        """Of the frozen block."""
        return self.block.params(widths[self.spec.name], self.extent(widths))

    def paper(self, widths: NetworkWidths) -> int:
        """What the paper charges for its units."""
        return self.block.paper(widths[self.spec.name], self.extent(widths))


@dataclass(frozen=True)
class StemPart:
    """The stride-2 convolutions at the beginning: channels of the image, and the space."""

    input_channels: int
    space: SearchSpace

    @property
    def streams(self) -> tuple[str, ...]:
        """One a convolution."""
        return tuple(self.space.streams())[: len(self.space.stem)]

    def channels(self, widths: NetworkWidths) -> list[int]:
        """Of the image and after every convolution."""
        pairs = zip(self.streams, self.space.stem, strict=True)
        return [self.input_channels, *(stream_width(widths, stream, full) for stream, full in pairs)]

    def convolutions(self, widths: NetworkWidths) -> list[Convolution]:
        """What it consists of."""
        return [
            Convolution(before, after, 3, 2, *self.space.size_at(1 << number))
            for number, (before, after) in enumerate(pairwise(self.channels(widths)))
        ]

    def macs(self, widths: NetworkWidths) -> int:
        """For one image."""
        return sum(9 * c.in_channels * c.out_channels * (c.height * c.width // 4) for c in self.convolutions(widths))

    def params(self, widths: NetworkWidths) -> int:
        """Of the convolutions and their BatchNorms."""
        return sum(9 * before * after + 2 * after for before, after in pairwise(self.channels(widths)))

    def paper(self, widths: NetworkWidths) -> int:
        """Kernel area times output pixels for every channel, as for a kernel of a block."""
        return sum(9 * c.out_channels * (c.height * c.width // 4) for c in self.convolutions(widths))


@dataclass(frozen=True)
class HeadPart:
    """Of the head what depends on the channels of its branches."""

    head: Head
    space: SearchSpace

    @property
    def streams(self) -> tuple[str, ...]:
        """One a branch."""
        return tuple(self.space.head_streams())

    def convolutions(self, widths: NetworkWidths) -> list[Convolution]:
        """The layer that reads each branch."""
        pairs = zip(self.streams, self.space.stages[-1].channels, strict=True)
        channels = [stream_width(widths, stream, full) for stream, full in pairs]
        return self.head.convolutions(channels)

    def _total(self, widths: NetworkWidths, each: list[int]) -> int:
        full = self.space.stages[-1].channels
        pairs = zip(self.streams, full, each, strict=True)
        return sum(taken * stream_width(widths, stream, count) for stream, count, taken in pairs)

    def macs(self, widths: NetworkWidths) -> int:
        """For one image."""
        return self._total(widths, self.head.macs_per_channel())

    def params(self, widths: NetworkWidths) -> int:
        """Of the columns that belong to channels."""
        return self._total(widths, self.head.params_per_channel())

    def paper(self, widths: NetworkWidths) -> int:
        """Nothing: the paper searches no head."""
        return 0
