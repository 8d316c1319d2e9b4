"""Arithmetic that rounds as an int8 runtime does, for training: a context, as autocast is one.

Inside it, convolutions and linear layers read maps of 8 bits and weights of 8 or fewer, a scale an output channel;
sums, pools and SiLU read maps of 8 bits. The last linear layer stays float. Gradients pass through the rounding (Jacob
et al., CVPR 2018). A BatchNorm after a convolution scales whole output channels, so that rounding before it and
rounding after it was folded in are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

WEIGHT_BITS = {"int8": 8, "int6": 6, "int4": 4}  # of weights; maps have 8 bits always
WEIGHTED, SUM, POOL, SMOOTH = "weighted", "sum", "pool", "smooth"
KINDS: dict[Callable[..., Any], str] = {
    F.conv2d: WEIGHTED,
    F.linear: WEIGHTED,
    torch.add: SUM,
    Tensor.add: SUM,
    Tensor.__add__: SUM,
    Tensor.__iadd__: SUM,
    Tensor.add_: SUM,
    F.avg_pool2d: POOL,
    F.adaptive_avg_pool2d: POOL,
    torch.mean: POOL,
    Tensor.mean: POOL,
    F.silu: SMOOTH,
}


def round_maps(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Values on a grid of 256 steps that holds 0.

    Args:
        x: of any shape.
        low, high: the range, scalars; it is widened to hold 0.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-12)
    rounded: Tensor = torch.fake_quantize_per_tensor_affine(
        x.float(), scale, torch.round(-low / scale).to(torch.int32), 0, 255
    )
    return rounded


def round_weight(weight: Tensor, bits: int) -> Tensor:
    """Weights on a symmetric grid of ``2 ** bits - 1`` steps, a scale an output channel.

    Args:
        weight: ``(outputs, ...)``.
        bits: 2 to 8.
    """
    most = 2 ** (bits - 1) - 1
    scale = (weight.detach().abs().flatten(1).amax(1) / most).clamp(min=1e-12)
    zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    rounded: Tensor = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -most, most)
    return rounded


class FakeQuantization(TorchFunctionMode):
    """Rounds what a network computes, place by place in the order in which it computes.

    Places are found, and their first ranges taken, by running the network once over some images. In training ranges
    follow each batch's extremes slowly.

    Args:
        bits: of weights.

    Attributes:
        kinds: of the places, in order.
        ranges: ``(places, 2, 2)``: least and largest value of what a place reads, and of the second of a sum's two.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.kinds: list[str] = []
        self.ranges = torch.zeros(0, 2, 2)
        self._finding = self._following = self._settling = False
        self._place = 0
        self._last = -1  # the last place that has weights
        self.steps = 0

    @torch.no_grad()
    def find(self, network: nn.Module, batches: Iterable[Tensor]) -> None:
        """Finds the places of a network in eval mode, and the ranges over batches of images ``(N, c, S, S)``."""
        self._finding = True
        for images in batches:
            with self:
                network(images)
        self._finding = False
        self._last = max(place for place, kind in enumerate(self.kinds) if kind == WEIGHTED)

    @contextmanager
    def following(self) -> Iterator[None]:
        """Inside, for the forward pass of a step: ranges follow what the network computes."""
        self._following = True
        self.steps += 1
        try:
            with self:
                yield
        finally:
            self._following = False

    @torch.no_grad()
    def settle(self, network: nn.Module, images: Tensor) -> None:
        """Puts the network's weights on their grids for good, in place.

        Args:
            network: in eval mode.
            images: ``(N, c, S, S)``, any.
        """
        self._settling = True
        with self:
            network(images)
        self._settling = False

    def __enter__(self) -> Any:
        self._place = 0
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kind = KINDS.get(func)
        if kind is None or not _reads_maps(kind, args):
            return func(*args, **(kwargs or {}))
        place, self._place = self._place, self._place + 1
        count = 2 if kind == SUM else 1
        maps = [self._mapped(place, kind, number, x) for number, x in enumerate(args[:count])]
        rest = list(args[count:])
        if kind == WEIGHTED and not self._finding and place != self._last:
            rounded = round_weight(rest[0], self.bits)
            rest[0] = rest[0].copy_(rounded) if self._settling else rounded
        if kind == SMOOTH and not self._finding:
            return _smooth(*maps)
        if func in (Tensor.__iadd__, Tensor.add_):  # what is added to has been rounded into a copy
            func = torch.add
        return func(*maps, *rest, **(kwargs or {}))

    def _mapped(self, place: int, kind: str, number: int, x: Tensor) -> Tensor:
        """What a place reads instead of ``x``."""
        if self._finding:
            self._note(place, kind, number, x)
            return x
        if self._following:
            share = max(0.01, 9 / (9 + self.steps))
            seen = torch.stack(x.detach().float().aminmax())
            self.ranges[place, number] += share * (seen.to(self.ranges) - self.ranges[place, number])
        return round_maps(x, *self.ranges[place, number].to(x.device))

    def _note(self, place: int, kind: str, number: int, x: Tensor) -> None:
        low, high = (float(each) for each in x.float().aminmax())
        if place == len(self.kinds):
            self.kinds.append(kind)
            empty = torch.tensor([[[torch.inf, -torch.inf]] * 2])
            self.ranges = torch.cat([self.ranges, empty])
        found = self.ranges[place, number]
        found[0], found[1] = min(low, float(found[0])), max(high, float(found[1]))

    def table(self) -> list[dict[str, Any]]:
        """``kind`` of each place in order and ``reads``, the least and largest value of each map that it reads."""
        counts = [2 if kind == SUM else 1 for kind in self.kinds]
        return [
            {"kind": kind, "reads": self.ranges[place, :count].tolist()}
            for place, (kind, count) in enumerate(zip(self.kinds, counts, strict=True))
        ]

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"kinds": self.kinds, "ranges": self.ranges.clone(), "last": self._last, "steps": self.steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on where :meth:`state` was taken."""
        self.kinds, self.ranges = list(state["kinds"]), state["ranges"].clone()
        self._last, self.steps = state["last"], state["steps"]


def _smooth(x: Tensor) -> Tensor:
    """SiLU of 8 bits as a file has it: a map times its sigmoid, which is rounded as well."""
    return x * round_maps(x.sigmoid(), *x.new_tensor([0.0, 1.0]))


def _reads_maps(kind: str, args: tuple[Any, ...]) -> bool:
    """Whether a sum is of two maps of one shape, not of a map and a constant a channel, and a pool of a map."""
    tensors = [x for x in args[:2] if isinstance(x, Tensor) and x.dim() == 4]
    if kind == SUM:
        return len(tensors) == 2 and tensors[0].shape == tensors[1].shape
    return kind in (WEIGHTED, SMOOTH) or (len(tensors) == 1 and tensors[0] is args[0])
