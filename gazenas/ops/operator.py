"""What a searchable operator is: the protocol that every one of them keeps."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from gazenas.ops.units import Convolution, Extent, TensorSlice, Units, Widths


class Operator(Protocol):
    """One searchable path of a search block: ``(N, c, h, w)`` to ``(N, c', h', w')``, an ``nn.Module``.

    An operator with no units left keeps only its closing normalization, whose constant it still adds.
    """

    channelwise: bool
    """Whether a unit is a channel of a map, of which a runtime computes several at once."""

    @classmethod
    def full_widths(cls, in_channels: int, **settings: Any) -> dict[str, int]:
        """Units by group at full width; raises ``InputError`` where a setting is unknown or wrong."""
        ...

    def widths(self) -> dict[str, int]:
        """Units by group as they stand."""
        ...

    def units(self) -> list[Units]:
        """The groups that still have units; empty in a subnet."""
        ...

    def reads(self) -> tuple[TensorSlice, ...]:
        """The slices that belong to the channels of its input."""
        ...

    def writes(self) -> tuple[TensorSlice, ...]:
        """The slices that belong to the channels of its output."""
        ...

    def drop_unused(self) -> None:
        """Drops what no unit needs any more after units were cut from the tensors."""
        ...

    def fold(self) -> None:
        """Multiplies the importance factors into the weights and forgets them; the eval-mode function stays."""
        ...

    def constant(self) -> Tensor:
        """``(1, c', 1, 1)``: what the closing normalization makes of a zero input."""
        ...

    def contributions(self) -> dict[str, Tensor]:
        """By group, ``(n,)``: standard deviation that each unit adds to the output, from weights and statistics."""
        ...

    def pin(self) -> None:
        """Takes the common factor out of importance factors where the closing normalization cancels it."""
        ...

    def macs(self, widths: Widths, extent: Extent) -> int:
        """MACs for one image with the given widths."""
        ...

    def params(self, widths: Widths, extent: Extent) -> int:
        """Parameters of a frozen operator with the given widths."""
        ...

    def paper(self, widths: Widths, extent: Extent) -> int:
        """What the paper charges for the given widths, so that one unit fewer saves its Delta."""
        ...

    def convolutions(self, widths: Widths, extent: Extent) -> list[Convolution] | None:
        """The plain convolutions that it consists of, or None where it does more than these."""
        ...
