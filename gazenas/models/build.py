"""Numbers in, network out: what an architecture describes, built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from gazenas.errors import InputError
from gazenas.layers.activation import RELU, Activation, expect_activation
from gazenas.models.heads import HEADS, Head
from gazenas.models.network import Network
from gazenas.models.search_block import ProjectedResidual, SearchBlock
from gazenas.models.stages import FusionModule, ParallelModule, Stage
from gazenas.ops import OPS, build_operator
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.stream import Stream, closing_norm
from gazenas.space.architecture import GAZE_TASK, Architecture
from gazenas.space.search_space import CHANNEL, STREAM, BlockSpec, SearchSpace
from gazenas.tasks import find_task


def full_architecture(space: SearchSpace, task: str = GAZE_TASK) -> Architecture:
    """Everything that a space offers, for a task."""
    streams = {name: {STREAM: {CHANNEL: width}} for name, width in space.searched_streams().items()}
    blocks = {
        spec.name: {
            name: OPS[name].full_widths(spec.in_channels, **settings) for name, settings in spec.operators.items()
        }
        for spec in space.blocks()
    }
    return Architecture(space, streams | blocks, task)


def build_network(arch: Architecture, *, importance: bool, input_channels: int = 0) -> Network:
    """Builds what an architecture describes.

    Args:
        arch: what is kept of a space.
        importance: with importance factors (a supernet, possibly shrunk) or without (a subnet).
        input_channels: of the images; 0 for what the task has.

    Raises:
        InputError: where a block keeps more than its space offers.
    """
    space = arch.space
    check_space(space, f"search space {space.name!r}")
    widths = arch.stream_widths()
    streams = {name: Stream(width=widths[name]) for name in space.searched_streams()} if importance else {}
    blocks: dict[str, SearchBlock] = {}

    def make(specs: list[BlockSpec]) -> list[SearchBlock]:
        made = [_build_block(spec, arch, widths, streams.get(spec.target), importance) for spec in specs]
        blocks.update({spec.name: block for spec, block in zip(specs, made, strict=True)})
        return made

    stages = []
    for number, stage in enumerate(space.stages):
        specs = space.fusion_blocks(number)
        joins: list[dict[int, nn.Module]] = []
        opening: nn.Module | None = None
        for spec, block in zip(specs, make(specs), strict=True):
            if spec.role == "opening":
                opening = block
                continue
            if spec.branch == len(joins):
                joins.append({})
            joins[spec.branch][spec.source_branch] = block
        pending = make(space.parallel_blocks(number))
        branches = [[pending.pop(0) for _ in range(count)] for count in stage.blocks]
        stages.append(
            Stage(
                fusion=FusionModule(joins=joins, opening=opening, activation=space.activation),
                parallel=ParallelModule(branches=branches),
            )
        )
    task = find_task(arch.task, f"search space {space.name!r}: task")
    ends = list(widths.items())[: len(space.stem)]
    stem = _build_stem(input_channels or task.channels, ends, streams, space.activation)
    head = _build_head(space, [widths[name] for name in space.head_streams()])
    return Network(space=space, stem=stem, stages=stages, head=head, blocks=blocks, streams=streams, task=task)


def _build_stem(
    input_channels: int, widths: list[tuple[str, int]], streams: Mapping[str, Stream], activation: str
) -> nn.Sequential:
    """3x3 stride-2 convolutions with BatchNorm and activation, one a stream of the stem with its channels."""
    layers: list[nn.Module] = []
    before = input_channels
    for name, after in widths:
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), closing_norm(after, streams.get(name))]
        layers.append(Activation(activation))
        before = after
    return nn.Sequential(*layers)


def _build_head(space: SearchSpace, channels: Sequence[int]) -> Head:
    settings = {key: value for key, value in space.head.items() if key != "kind"}
    return HEADS[space.head["kind"]](in_channels=channels, sizes=space.sizes(), **settings)


def _build_block(
    spec: BlockSpec, arch: Architecture, channels: Mapping[str, int], stream: Stream | None, importance: bool
) -> SearchBlock:
    """A block between streams of ``channels``; ``stream`` holds the importance factors of what it writes."""
    space, kept = arch.space, arch.kept[spec.name]
    ends = {"in_channels": channels[spec.source], "out_channels": channels[spec.target], "stride": spec.stride}
    paths: dict[str, nn.Module] = {}
    absent: dict[str, dict[str, int]] = {}
    for name, settings in spec.operators.items():
        full, widths = OPS[name].full_widths(spec.in_channels, **settings), kept[name]
        if set(full) != set(widths) or any(widths[group] > full[group] for group in full):
            raise InputError(f"{spec.name}: {name}: expected at most {full}, found {dict(widths)}")
        if importance or any(widths.values()):
            paths[name] = build_operator(
                name,
                **ends,
                widths={group: widths[group] for group in full},
                importance=importance,
                stream=stream,
                **settings,
                **_activation(space),
            )
        else:
            absent[name] = dict.fromkeys(full, 0)
    residual = None if spec.identity else ProjectedResidual(**ends, kernel=space.residual_kernel, stream=stream)
    any_unit = any(count for groups in kept.values() for count in groups.values())
    excite = None
    if space.squeeze and any_unit:
        excite = SqueezeExcite(channels=channels[spec.source], hidden=max(spec.in_channels // space.squeeze, 4))
    return SearchBlock(
        paths=paths,
        residual=residual,
        squeeze=excite,
        absent=absent,
        bias=channels[spec.target] if absent else 0,
        activation=space.activation if space.rectify and spec.source == spec.target else "",
    )


def _activation(space: SearchSpace) -> dict[str, str]:
    """What an operator is told: nothing of the usual one, so that it need not take any."""
    return {} if space.activation == RELU else {"activation": space.activation}


def check_space(space: SearchSpace, where: str) -> None:
    """Checks the settings of every operator and of the head against the code that takes them.

    Raises:
        InputError: naming all faults at once.
    """
    faults = _refusal("", lambda: expect_activation(space.activation, "activation"))
    modules = [("fusion", space.fusion)] + [
        (f"parallel[{number}]", entry) for number, entry in enumerate(space.parallel, 1)
    ]
    for module, operators in modules:
        for name, settings in operators.items():
            if name not in OPS:
                faults.append(f"{module}: unknown operator {name!r} (known: {', '.join(OPS)})")
                continue
            if _activation(space) and "activation" not in inspect.signature(OPS[name].__init__).parameters:
                faults.append(f"{module}: {name}: expected activation {RELU}, its own, found {space.activation!r}")
            wrong = _wrong_keys(OPS[name].full_widths, settings, given={"in_channels"})
            faults += [f"{module}: {name}: {fault}" for fault in wrong]
            if not wrong:
                faults += _refusal(f"{module}: ", lambda: OPS[name].full_widths(space.stem[-1], **settings))  # noqa: B023
    settings = {key: value for key, value in space.head.items() if key != "kind"}
    if space.head["kind"] not in HEADS:
        faults.append(f"head: unknown kind {space.head['kind']!r} (known: {', '.join(HEADS)})")
    else:
        wrong = _wrong_keys(HEADS[space.head["kind"]].__init__, settings, given={"self", "in_channels", "sizes"})
        faults += (
            [f"head: {fault}" for fault in wrong]
            if wrong
            else _refusal("", lambda: _build_head(space, space.stages[-1].channels))
        )
    if faults:
        raise InputError(f"{where}: " + "; ".join(faults))


def _wrong_keys(function: Callable[..., Any], settings: Mapping[str, Any], given: set[str]) -> list[str]:
    expected = [name for name in inspect.signature(function).parameters if name not in given]
    faults = [f"unknown key {key!r} (known: {', '.join(expected)})" for key in settings if key not in expected]
    return faults + [f"missing key {key!r}" for key in expected if key not in settings]


def _refusal(where: str, build: Callable[[], Any]) -> list[str]:
    """What ``build`` says against its settings."""
    try:
        build()
    except (InputError, TypeError, ValueError) as error:
        return [f"{where}{error}"]
    return []
