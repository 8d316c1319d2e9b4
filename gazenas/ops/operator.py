"""What a searchable operator is: the protocol that every one of them keeps."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from gazenas.ops.stream import Stream
from gazenas.ops.units import Convolution, Extent, TensorSlice, Units, Widths


class Operator(Protocol):
    """One searchable path of a search block: ``(N, c, h, w)`` to ``(N, c', h', w')``, an ``nn.Module``.

    An operator with no units left keeps only its closing normalization, whose constant it still adds. It says what only
    it can
    know: which tensors its units are in, what it computes and what that takes. What a search makes of it (which unit
    goes, in what multiple) is not its business.
    """

    channelwise: ClassVar[bool]
    """Whether a unit is a channel of a map. It stands with the class, since an architecture names operators and has
    none built."""

    norm: nn.BatchNorm2d
    """The closing normalization, which follows the projection of all units."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        stride: int,
        widths: Widths,
        importance: bool,
        stream: Stream | None = None,
        **settings: Any,
    ) -> None: ...

    @classmethod
    def full_widths(cls, in_channels: int, *nothing: Any, **settings: Any) -> dict[str, int]:
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

    def deviations(self) -> dict[str, Tensor]:
        """By group, ``(n,)``: standard deviation of what each unit gives to its projection before its factor, from
        weights and statistics."""
        ...

    def macs(self, widths: Widths, extent: Extent) -> int:
        """MACs for one image with the given widths."""
        ...

    def params(self, widths: Widths, extent: Extent) -> int:
        """Parameters of a frozen operator with the given widths."""
        ...

    def paper(self, widths: Widths, extent: Extent) -> int:
        """What the paper charges for the given widths, so that one unit fewer saves its Delta.

        It stands here, as MACs do: the paper counts some layers of a path and leaves others out, and which is which
        only the path knows.
        """
        ...

    def convolutions(self, widths: Widths, extent: Extent) -> list[Convolution] | None:
        """The plain convolutions that it consists of, or None where it does more than these."""
        ...
