"""Removing units: weights, optimizer state and average alike, by what operators say of their tensors.

Nothing here knows an operator. Each unit group lists the slices of parameters and buffers that belong to its
units; those are cut, the optimizer's state of a cut parameter is cut the same way, and what an operator no
longer has is dropped from the optimizer. Tensors are matched by identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gazenas.models.network import Network, as_network
from gazenas.search.units import UnitGroup, unit_groups

Survivors = Mapping[str, Tensor]  # group name to (n,) booleans
Cuts = dict[int, Tensor]  # dimension to the indices that stay


@dataclass(frozen=True)
class ShrinkReport:
    """What a shrink removed.

    Attributes:
        removed: number of units by unit group, groups that lost none left out.
        macs_saved: MACs of one image that went with them.
        params_saved: parameters of the frozen network that went with them.
    """

    removed: dict[str, int] = field(default_factory=dict)
    macs_saved: int = 0
    params_saved: int = 0

    @property
    def units(self) -> int:
        """How many units were removed."""
        return sum(self.removed.values())


def shrink(
    supernet: nn.Module, threshold: float, *, optimizer: torch.optim.Optimizer | None = None, average: Any = None
) -> ShrinkReport:
    """Removes, in place, every unit with ``abs(alpha) <= threshold``; a stream keeps its least width, the largest of
    them.

    Args:
        supernet: with importance factors.
        threshold: not negative; 0 removes exactly what contributes nothing.
        optimizer: any stock torch optimizer over the supernet's parameters; what survives keeps its state bit for bit.
        average: a copy of the supernet or anything that holds one as ``.module``; loses the same units.

    Raises:
        ValueError: for a negative threshold, importance factors that are not finite, an optimizer whose state
            does not follow its parameters' shapes, or an average of another structure. Nothing is changed then.
    """
    if not threshold >= 0:
        raise ValueError(f"threshold: expected a number of at least 0, found {threshold}")
    groups = unit_groups(supernet)
    broken = [group.name for group in groups if not bool(group.alpha.detach().isfinite().all())]
    if broken:
        raise ValueError(f"importance factors of {broken[0]} ({len(broken)} groups) are not finite")
    keep = {group.name: with_least(group, group.alpha.detach().abs() > threshold) for group in groups}
    return remove(supernet, keep, optimizer=optimizer, average=average)


def with_least(group: UnitGroup, keep: Tensor) -> Tensor:
    """``keep``, ``(n,)`` booleans, and as many of the largest other units as the group must have at least."""
    missing = group.least - int(keep.sum())
    if missing <= 0:
        return keep
    size = group.alpha.detach().abs().masked_fill(keep, -1.0)
    more = keep.clone()
    more[torch.argsort(size, descending=True, stable=True)[:missing]] = True
    return more


def remove(
    supernet: nn.Module, keep: Survivors, *, optimizer: torch.optim.Optimizer | None = None, average: Any = None
) -> ShrinkReport:
    """As :func:`shrink`, with the units that stay given by group.

    Raises:
        ValueError: where a stream would keep less than its least width, besides what :func:`shrink` raises.
    """
    network = as_network(supernet)
    thin = [g for g in unit_groups(network) if g.name in keep and int(keep[g.name].sum()) < g.least]
    if thin:
        raise ValueError(
            f"{thin[0].name}: expected at least {thin[0].least} channels to stay, found {int(keep[thin[0].name].sum())}"
        )
    removed = {name: int((~mask).sum()) for name, mask in keep.items() if not bool(mask.all())}
    if not removed:
        return ShrinkReport()
    twin = None if average is None else as_network(average)
    if twin is not None and twin.architecture() != network.architecture():
        raise ValueError(
            "average: expected the structure of the supernet, found another; shrink both together from the start"
        )
    before = _searchable(network)
    _apply(network, keep, optimizer)
    if twin is not None and twin is not network:
        _apply(twin, keep, None)
    after = _searchable(network)
    return ShrinkReport(removed, before[0] - after[0], before[1] - after[1])


def _searchable(network: Network) -> tuple[int, int]:
    """MACs and parameters of everything that units can take away, and some that they cannot."""
    parts, widths = network.parts(), network.widths()
    return sum(part.macs(widths) for part in parts.values()), sum(part.params(widths) for part in parts.values())


def _apply(network: Network, keep: Survivors, optimizer: torch.optim.Optimizer | None) -> None:
    plans = _plan(unit_groups(network), keep)
    parameters = {id(parameter) for parameter in network.parameters()}
    states = _cut_states(plans, optimizer) if optimizer is not None else {}
    replaced: dict[int, nn.Parameter] = {}
    for module, name, cuts in plans:
        tensor = _tensor(module, name)
        cut = _select(tensor.detach(), cuts)
        if isinstance(tensor, nn.Parameter):
            new = nn.Parameter(cut, requires_grad=tensor.requires_grad)
            new.grad = None if tensor.grad is None else _select(tensor.grad, cuts)
            module._parameters[name] = replaced[id(tensor)] = new
        else:
            module._buffers[name] = cut
    network.drop_unused()
    if optimizer is None:
        return
    alive = {id(parameter) for parameter in network.parameters()}
    for group in optimizer.param_groups:
        kept = []
        for old in group["params"]:
            new = replaced.get(id(old), old)
            if new is not old or (id(old) in parameters and id(old) not in alive):
                optimizer.state.pop(old, None)
            if id(new) in alive or id(old) not in parameters:
                kept.append(new)
                if id(old) in states:
                    optimizer.state[new] = states[id(old)]
        group["params"] = kept


def _plan(groups: list[UnitGroup], keep: Survivors) -> list[tuple[nn.Module, str, Cuts]]:
    """What stays of every tensor that loses something; groups that share a tensor are joined."""
    masks: dict[tuple[int, str], dict[int, Tensor]] = {}
    owners: dict[tuple[int, str], nn.Module] = {}
    for group in groups:
        mask = keep[group.name]
        if bool(mask.all()):
            continue
        for piece in group.slices:
            key = (id(piece.module), piece.name)
            owners[key] = piece.module
            size = _tensor(piece.module, piece.name).shape[piece.dim]
            whole = masks.setdefault(key, {}).setdefault(
                piece.dim, torch.ones(size, dtype=torch.bool, device=mask.device)
            )
            whole[piece.start : piece.start + len(group) * piece.span] = mask.repeat_interleave(piece.span)
    return [
        (owners[key], key[1], {dim: mask.nonzero().flatten() for dim, mask in dims.items()})
        for key, dims in masks.items()
    ]


def _tensor(module: nn.Module, name: str) -> Tensor:
    parameter = module._parameters.get(name)
    tensor = module._buffers.get(name) if parameter is None else parameter
    assert tensor is not None, f"{type(module).__name__} has no tensor {name}"
    return tensor


def _select(tensor: Tensor, cuts: Cuts) -> Tensor:
    for dim, indices in cuts.items():
        tensor = tensor.index_select(dim, indices.to(tensor.device))
    return tensor


def _cut_states(
    plans: list[tuple[nn.Module, str, Cuts]], optimizer: torch.optim.Optimizer
) -> dict[int, dict[str, Any]]:
    """The optimizer's state of every cut parameter, cut the same way, by the parameter's identity."""
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError("optimizer: LBFGS keeps one flat history of all parameters, which cannot be cut; use another")
    states = {}
    for module, name, cuts in plans:
        old = _tensor(module, name)
        if isinstance(old, nn.Parameter) and old in optimizer.state:
            state = optimizer.state[old]
            states[id(old)] = {
                key: _cut_state(value, old, cuts, f"{type(optimizer).__name__}'s {key}") for key, value in state.items()
            }
    return states


def _cut_state(value: Any, old: Tensor, cuts: Cuts, what: str) -> Any:
    """One entry of a parameter's state: cut where it follows the parameter's shape, kept where it is a single
    number."""
    if not isinstance(value, Tensor) or value.dim() == 0:
        return value
    if value.dim() != old.dim():
        raise ValueError(
            f"optimizer: {what}: expected the {old.dim()} dimensions of its parameter, found shape {tuple(value.shape)}"
        )
    follows: Cuts = {}
    for dim, indices in cuts.items():
        if value.shape[dim] == old.shape[dim]:
            follows[dim] = indices
        elif value.shape[dim] != 1:
            raise ValueError(f"optimizer: {what}: expected shape {tuple(old.shape)}, found {tuple(value.shape)}")
    return _select(value, follows)
