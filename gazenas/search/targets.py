"""What a search is asked to arrive at, from the command line's words to resources and waypoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gazenas.costs.budget import (
    Resource,
    check_target,
    empty_widths,
    macs_resource,
    ms_resource,
    params_resource,
    parse_amount,
)
from gazenas.errors import InputError
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths
from gazenas.models.zoo import GazeModel, build_subnet
from gazenas.search.units import unit_groups
from gazenas.space.architecture import Architecture

EXPORTS = 10  # at most, until the file's size fits
TOLERANCE = 0.015  # how far below its size a file may end before the fill is tried again


@dataclass(frozen=True)
class Targets:
    """Budgets as given on the command line; empty where not given.

    Attributes:
        macs, params: such as ``12M`` or ``40%``.
        size: bytes of the exported float32 ONNX file, such as ``1M``.
        ms: milliseconds by the latency table, such as ``2.5`` or ``40%``.
        family: several MACs to arrive at in turn, such as ``("20M", "10M")``.
        latency_table: file to look milliseconds up in; empty for the one of this machine.
        channel_multiple: the number of channels that leave together; 0 for the latency table's under ``ms``, else the space's.
    """

    macs: str = ""
    params: str = ""
    size: str = ""
    ms: str = ""
    family: tuple[str, ...] = ()
    latency_table: str = ""
    channel_multiple: int = 0


@dataclass
class Plan:
    """Resources that a search stays under.

    Attributes:
        resources: in the order of the waypoints' amounts.
        full: the supernet's amount of each.
        waypoints: amounts to arrive at, the largest first.
        labels: of the waypoints, as given.
        channel_multiple: the number of channels that leave together.
    """

    resources: list[Resource]
    full: tuple[float, ...]
    waypoints: list[tuple[float, ...]]
    labels: list[str]
    channel_multiple: int = 1

    @property
    def targets(self) -> dict[str, float]:
        """The last waypoint, by resource."""
        return dict(zip([r.name for r in self.resources], self.waypoints[-1], strict=True)) if self.waypoints else {}


def make_plan(targets: Targets, network: Network) -> Plan:
    """Checks every budget against the supernet and against what remains with every unit gone.

    Raises:
        InputError: where a budget cannot be read or met, or two kinds of targets exclude each other.
    """
    if not unit_groups(network):
        raise InputError(f"search space {network.space.name!r}: expected operators or streams to search, found none")
    if targets.channel_multiple < 0:
        raise InputError(
            f"--channel-multiple: expected a positive number of channels, found {targets.channel_multiple}"
        )
    plan = _plan(targets, network)
    measured = max([network.space.channel_multiple, *(resource.channel_multiple for resource in plan.resources)])
    plan.channel_multiple = targets.channel_multiple or measured
    return plan


def _plan(targets: Targets, network: Network) -> Plan:
    if targets.family:
        if any((targets.macs, targets.params, targets.size, targets.ms)):
            raise InputError("--targets: expected no other --target-..., the family's budgets are MACs")
        return _family(targets, network)
    wanted = {"macs": targets.macs, "params": targets.params, "size": targets.size, "ms": targets.ms}
    plan = Plan([], (), [], [])
    point: list[float] = []
    for name, text in wanted.items():
        if not text:
            continue
        resource = _resource(name, network, targets)
        full = resource.total(network, network.widths())
        flag = f"--target-{name}"
        target = parse_amount(text, full, flag, "2.5 or 40%" if name == "ms" else "12000000, 12M, 1.2G or 40%")
        target = target if name == "ms" else round(target)
        check_target(network, resource, target, flag)
        plan.resources.append(resource)
        plan.full += (full,)
        point.append(target)
        plan.labels = [" ".join([*plan.labels, text])]
    if point:
        plan.waypoints = [tuple(point)]
    return plan


def _family(targets: Targets, network: Network) -> Plan:
    resource = macs_resource(network)
    full = resource.total(network, network.widths())
    amounts = {text: round(parse_amount(text, full, "--targets")) for text in targets.family}
    for amount in amounts.values():
        check_target(network, resource, amount, "--targets")
    if len(set(amounts.values())) != len(targets.family):
        raise InputError(f"--targets: expected each budget once, found {', '.join(targets.family)}")
    down = sorted(amounts, key=lambda text: -amounts[text])
    return Plan([resource], (full,), [(amounts[text],) for text in down], down)


def _resource(name: str, network: Network, targets: Targets) -> Resource:
    if name == "macs":
        return macs_resource(network)
    if name == "ms":
        return ms_resource(network, targets.latency_table)
    resource = params_resource(network)
    if name == "params":
        return resource
    return _size_resource(network, resource)


def _size_resource(network: Network, params: Resource) -> Resource:
    """Bytes of the exported file, in proportion to parameters between the supernet and the network of no units."""
    full, none = network.widths(), empty_widths(network)
    largest, least = (exported_bytes(architecture_with(network, widths)) for widths in (full, none))
    below = params.total(network, none)
    exact = Resource("size", params.fixed + least - below, params.of_part)
    return exact.stretched(network, (largest - least) / (params.total(network, full) - below))


def exported_bytes(arch: Architecture) -> int:
    """Size of the float32 ONNX file that ``gazenas export`` writes for a subnet of ``arch``, whatever its weights."""
    return file_bytes(build_subnet(arch))


def file_bytes(network: GazeModel) -> int:
    """The same of a network with fresh weights, which are overwritten."""
    from gazenas.export.onnx import onnx_bytes

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():  # the exporter keeps equal tensors once, and trained ones never are equal
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return len(onnx_bytes(network))


def architecture_with(network: Network, widths: NetworkWidths) -> Architecture:
    """The architecture of ``network`` once it has ``widths``."""
    return network.architecture().with_counts(lambda block, operator, group, units: widths[block][operator][group])
