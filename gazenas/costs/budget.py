"""A budget: how its amount is written, shown, and checked against what a network can take."""

from __future__ import annotations

from collections.abc import Sequence

from gazenas.costs.quantity import Quantity, Resource
from gazenas.errors import InputError
from gazenas.models.network import Network

FACTORS = {"%": 0.0, "k": 1e3, "M": 1e6, "G": 1e9}


def parse_amount(text: str, full: float, flag: str, quantity: Quantity) -> float:
    """An amount from ``12000000``, ``12M``, ``1.2G`` or ``40%`` of ``full``; a whole number where the quantity has only
    these.

    Raises:
        InputError: naming ``flag``, where the text is none of these.
    """
    unit = text[-1:] if text[-1:] in FACTORS else ""
    example = "12000000, 12M, 1.2G or 40%" if quantity.integral else "2.5 or 40%"
    try:
        value = float(text.removesuffix(unit)) * (full / 100 if unit == "%" else FACTORS.get(unit, 1.0))
    except ValueError:
        raise InputError(f"{flag}: expected {example}, found {text!r}") from None
    if not 0 < value < 1e18:
        raise InputError(f"{flag}: expected a positive number, found {text!r}")
    return round(value) if quantity.integral else value


def check_target(network: Network, resource: Resource, target: float, flag: str) -> None:
    """Checks that a target lies between what must remain and the supernet.

    Raises:
        InputError: with both ends.
    """
    floor, full = resource.floor(network), resource.total(network, network.widths())
    if not floor <= target < full:
        side = "at or above the supernet" if target >= full else "below what remains with every unit gone"
        raise InputError(
            f"{flag}: {show(target)} is {side}: expected at least {show(floor, up=True)} and less than {show(full)}"
        )


def show(amount: float, *, up: bool = False) -> str:
    """An amount for a message: whole numbers in full, small ones (milliseconds) to three decimals."""
    if amount < 1000 and amount != int(amount):
        return f"{amount:.3f}"
    return f"{-int(-amount // 1) if up else int(amount):,}"


def limits_met(amounts: Sequence[float], limits: Sequence[float]) -> bool:
    """Whether every amount is at or under its limit."""
    slack = 1e-12  # sums of milliseconds depend on their order in the last digits
    return all(amount <= limit * (1 + slack) for amount, limit in zip(amounts, limits, strict=True))
