"""Arriving at a budget: a schedule says what remains after each shrink, importances say who goes.

The losers of the next shrink are known from the start of the interval before it. In that interval an envelope
presses their importance factors linearly to zero while the others train on, so that the network has learned
to do without them before they are removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gazenas.architecture import InputError
from gazenas.counting import count_macs
from gazenas.models.network import Network
from gazenas.search.units import UnitGroup, unit_groups

PRESSED_BY = 0.75  # share of an interval after which the losers' importances are zero


def fixed_macs(network: Network) -> int:
    """MACs of one image that no shrink can remove: stem, residuals and head."""
    return count_macs(network, network.input_size) - _block_macs(network, {})


def check_target(network: Network, target: int) -> None:
    """Checks that a target lies between what must remain and the supernet.

    Raises:
        InputError: with both ends.
    """
    floor, full = fixed_macs(network), count_macs(network, network.input_size)
    if not floor <= target < full:
        side = "at or above the supernet" if target >= full else "below what remains with every unit gone"
        raise InputError(f"--target-macs: {target:,} is {side}: expected at least {floor:,} and less than {full:,}")


def parse_target(text: str, full: int) -> int:
    """MACs from ``12000000``, ``12M``, ``1.2G`` or ``40%`` of ``full``.

    Raises:
        InputError: where the text is none of these.
    """
    units = {"%": full / 100, "k": 1e3, "M": 1e6, "G": 1e9}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        raise InputError(f"--target-macs: expected 12000000, 12M, 1.2G or 40%, found {text!r}") from None
    if not 0 < value < 1e18:
        raise InputError(f"--target-macs: expected a positive number, found {text!r}")
    return round(value)


@dataclass(frozen=True)
class Schedule:
    """MACs that remain after each shrink: a geometric fall from the supernet to the target.

    Attributes:
        full: MACs of the supernet.
        target: MACs at the end.
        shrinks: epochs (from 0) at whose ends the network shrinks; the last one arrives.
    """

    full: int
    target: int
    shrinks: tuple[int, ...]

    def remaining(self, epoch: int) -> int | None:
        """MACs that may remain after the shrink at the end of ``epoch``, or None where there is none."""
        if epoch not in self.shrinks:
            return None
        share = (self.shrinks.index(epoch) + 1) / len(self.shrinks)
        return self.target if share == 1 else round(self.full * (self.target / self.full) ** share)


def plan_schedule(full: int, target: int, epochs: int, every: int) -> Schedule:
    """Shrinks every ``every`` epochs after the first fifth of the search, arriving at seven tenths of it."""
    last = max(0, round(0.7 * epochs) - 1)
    first = min(last, max(1, round(0.2 * epochs)) if epochs > 1 else 0)
    return Schedule(full, target, tuple(sorted(range(last, first - 1, -every))))


class Losers:
    """The units that the next shrink will remove, and the envelope that presses them to zero.

    Args:
        network: a supernet.
        remaining: MACs that may remain.
    """

    def __init__(self, network: Network, remaining: int) -> None:
        self.groups = unit_groups(network)
        self.keep = cheapest_cut(network, self.groups, remaining)
        self.start = [group.alpha.detach().abs().clone() for group in self.groups]

    @torch.no_grad()
    def press(self, progress: float) -> None:
        """Limits the losers' importances to what the envelope allows at ``progress`` (0 to 1) of the interval."""
        share = max(0.0, 1 - progress / PRESSED_BY)
        for group, keep, start in zip(self.groups, self.keep.values(), self.start, strict=True):
            limit = torch.where(keep, torch.inf, start * share)
            group.alpha.copy_(torch.minimum(torch.maximum(group.alpha, -limit), limit))

    def state(self) -> list[list[Tensor]]:
        """What a checkpoint must hold to go on pressing the same units."""
        return [list(self.keep.values()), self.start]

    def load_state(self, state: list[list[Tensor]]) -> None:
        """Takes over what :meth:`state` gave."""
        self.keep = {group.name: keep for group, keep in zip(self.groups, state[0], strict=True)}
        self.start = state[1]


def macs_left(network: Network, groups: list[UnitGroup], keep: dict[str, Tensor]) -> int:
    """MACs of one image once the units that ``keep`` does not keep are gone."""
    return fixed_macs(network) + _block_macs(network, {group.name: int((~keep[group.name]).sum()) for group in groups})


def cheapest_cut(network: Network, groups: list[UnitGroup], remaining: int) -> dict[str, Tensor]:
    """The shortest prefix of the ranking by ``abs(alpha)`` whose removal leaves at most ``remaining`` MACs.

    Returns:
        By group, ``(n,)`` booleans: which units stay.

    Raises:
        InputError: where even removing every unit leaves more.
    """
    if not groups:
        return {}
    values = torch.cat([group.alpha.detach().abs() for group in groups]).cpu().numpy()
    member = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.argsort(values, kind="stable")
    fixed = fixed_macs(network)

    def left(count: int) -> int:
        lost = np.bincount(member[order[:count]], minlength=len(groups))
        return fixed + _block_macs(network, {group.name: int(n) for group, n in zip(groups, lost, strict=True)})

    if left(len(order)) > remaining:
        raise InputError(f"cannot leave at most {remaining:,} MACs: with every unit gone {left(len(order)):,} remain")
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if left(middle) <= remaining else (middle + 1, high)
    stays = np.ones(len(order), bool)
    stays[order[:low]] = False
    return {group.name: torch.from_numpy(stays[member == index]) for index, group in enumerate(groups)}


def _block_macs(network: Network, lost: dict[str, int]) -> int:
    """MACs of everything that units can take away, with ``lost`` units fewer by group name."""
    total = 0
    for spec in network.space.blocks():
        block, side = network.blocks()[spec.name], network.input_size // spec.reduction
        widths = {
            operator: {group: count - lost.get(f"{spec.name}.{operator}.{group}", 0) for group, count in groups.items()}
            for operator, groups in block.widths().items()
        }
        total += block.macs(widths, side, side)
    return total
