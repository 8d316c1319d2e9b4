"""A search space: the widest architecture, in plain numbers and without torch. People write it as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any, Literal

Size = tuple[int, int]  # height and width in pixels
STREAM, CHANNEL = "stream", "channel"  # how the units of a stream are called beside operators and their groups
Settings = Mapping[str, Any]
Role = Literal["join", "opening", "parallel"]


@dataclass(frozen=True)
class StageSpec:
    """One stage of the multi-branch network: a fusion module, then a parallel module.

    ``channels`` and ``blocks`` (search blocks in the parallel module) have one entry a branch, the highest
    resolution first. A stage has as many branches as the one before, or one more. ``stride`` is that of the fusion
    module's block, 1, or 2 where there is one branch.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    stride: int = 1


@dataclass(frozen=True)
class BlockSpec:
    """One search block of a space, with everything that follows from its position.

    Attributes:
        name: unique in the space, such as ``stage2.fusion.branch1.from2``.
        stage: from 0.
        branch: that it writes, from 0, the highest resolution first.
        source_branch: that it reads; in a parallel module ``branch``.
        role: ``join`` and ``opening`` in a fusion module, of which the second makes the new lowest branch;
            ``parallel``.
        depth: how many blocks of the same parallel module come before it in its branch; 0 in a fusion module.
        source, target: the streams that it reads and writes.
        in_channels, out_channels: their full widths.
        stride: 1 or 2.
        reduction: how many times smaller than the image the block's input is.
        identity: whether its residual passes the input on as it is.
        operators: names of ``gazenas.ops.OPS`` with their settings.
    """

    name: str
    stage: int
    branch: int
    source_branch: int
    role: Role
    depth: int
    source: str
    target: str
    in_channels: int
    out_channels: int
    stride: int
    reduction: int
    identity: bool
    operators: Settings


@dataclass(frozen=True)
class SearchSpace:
    """The widest architecture.

    Attributes:
        name: also the name of the YAML file.
        input_size: side of the input images in pixels, divisible by the lowest resolution's reduction.
        stem: channels of each stride-2 convolution, two in the paper.
        stages: at least one; the first has one branch.
        squeeze: reduction inside squeeze-and-excite, 0 for none.
        fusion: operators of the blocks in fusion modules, each with its settings.
        parallel: the same for parallel modules, one entry a branch.
        head: ``kind`` (a name of ``gazenas.models.heads.HEADS``) and the head's own settings.
        residual_kernel: side of the convolution that stands for a residual between two streams, 1 in the paper.
        rectify: whether every block of a parallel module ends in an activation; in the paper none does.
        least_stream_width: channels that every stream keeps at least, where its channels are units of the search; 0
            keeps all streams as wide as ``stem`` and ``stages`` say, as the paper does.
        channel_multiple: the number of channels that leave together.
        window: the part of the image that the network reads: first row and the one after its last, first column and the
            one after its last, in pixels; empty for the whole image.
        activation: after the convolutions of stem and blocks and at the end of a fusion: relu, as in the paper, or
            silu. Transformer layers and heads have their own.
    """

    name: str
    input_size: int
    stem: tuple[int, ...]
    stages: tuple[StageSpec, ...]
    squeeze: int
    fusion: Settings
    parallel: tuple[Settings, ...]
    head: Settings
    residual_kernel: int = 1
    rectify: bool = False
    least_stream_width: int = 0
    channel_multiple: int = 1
    window: tuple[int, ...] = ()
    activation: str = "relu"

    @property
    def branches(self) -> int:
        """How many resolutions the network ends with."""
        return len(self.stages[-1].channels)

    def reduction(self, stage: int) -> int:
        """How many times smaller than the image the highest resolution of a stage is (from 0; -1 for the stem)."""
        return prod(each.stride for each in self.stages[: stage + 1]) << len(self.stem)

    def lowest_reduction(self) -> int:
        """How many times smaller than the image the lowest resolution of the network is."""
        return self.reduction(len(self.stages)) << (max(len(stage.channels) for stage in self.stages) - 1)

    def size_at(self, reduction: int) -> Size:
        """Height and width of a map that is ``reduction`` times smaller than what the network reads."""
        top, bottom, left, right = self.window or (0, self.input_size, 0, self.input_size)
        return (bottom - top) // reduction, (right - left) // reduction

    def sizes(self) -> list[Size]:
        """Heights and widths of the maps that the head gets, the highest resolution first."""
        top = self.reduction(len(self.stages) - 1)
        return [self.size_at(top << branch) for branch in range(self.branches)]

    def streams(self) -> dict[str, int]:
        """Full width of every stream, the maps that blocks read and write: one a convolution of the stem, one a stage
        and branch."""
        widths = {_stem_stream(number): channels for number, channels in enumerate(self.stem)}
        for number, stage in enumerate(self.stages):
            widths |= {_stream(number, branch): channels for branch, channels in enumerate(stage.channels)}
        return widths

    def reductions(self) -> dict[str, int]:
        """How many times smaller than what the network reads the map of every stream is."""
        found = {_stem_stream(number): 2 << number for number in range(len(self.stem))}
        for number, stage in enumerate(self.stages):
            found |= {
                _stream(number, branch): self.reduction(number) << branch for branch in range(len(stage.channels))
            }
        return found

    def searched_streams(self) -> dict[str, int]:
        """Those whose channels are units of the search: all or none."""
        return self.streams() if self.least_stream_width else {}

    def head_streams(self) -> list[str]:
        """The streams that the head reads, the highest resolution first."""
        return [_stream(len(self.stages) - 1, branch) for branch in range(self.branches)]

    def blocks(self) -> list[BlockSpec]:
        """All search blocks in the order in which the network runs them."""
        return [
            block
            for number in range(len(self.stages))
            for block in self.fusion_blocks(number) + self.parallel_blocks(number)
        ]

    def fusion_blocks(self, stage: int) -> list[BlockSpec]:
        """Blocks of the fusion module of stage ``stage`` (from 0): neighbors joined, then the new lowest branch."""
        before = self.stages[stage - 1].channels if stage else self.stem[-1:]
        sources = [
            _stream(stage - 1, branch) if stage else _stem_stream(len(self.stem) - 1) for branch in range(len(before))
        ]
        now = self.stages[stage].channels
        specs = []
        for to in range(min(len(before), len(now))):
            for source in range(max(0, to - 1), min(len(before), to + 2)):
                stride = 2 if source < to else self.stages[stage].stride
                # Two streams whose channels are searched apart cannot be one and the same map.
                identity = stride == 1 and before[source] == now[to] and not self.least_stream_width
                specs.append(
                    BlockSpec(
                        name=f"stage{stage + 1}.fusion.branch{to + 1}.from{source + 1}",
                        stage=stage,
                        branch=to,
                        source_branch=source,
                        role="join",
                        depth=0,
                        source=sources[source],
                        target=_stream(stage, to),
                        in_channels=before[source],
                        out_channels=now[to],
                        stride=stride,
                        reduction=self.reduction(stage - 1) << source,
                        identity=identity,
                        operators=self.fusion,
                    )
                )
        if len(now) > len(before):
            specs.append(self._opening_block(stage, len(before)))
        return specs

    def _opening_block(self, stage: int, branch: int) -> BlockSpec:
        """The block that makes the new lowest branch ``branch`` of a stage out of the one above it."""
        channels = self.stages[stage].channels
        return BlockSpec(
            name=f"stage{stage + 1}.fusion.branch{branch + 1}.new",
            stage=stage,
            branch=branch,
            source_branch=branch - 1,
            role="opening",
            depth=0,
            source=_stream(stage, branch - 1),
            target=_stream(stage, branch),
            in_channels=channels[branch - 1],
            out_channels=channels[branch],
            stride=2,
            reduction=self.reduction(stage) << (branch - 1),
            identity=False,
            operators=self.fusion,
        )

    def parallel_blocks(self, stage: int) -> list[BlockSpec]:
        """Blocks of the parallel module of stage ``stage`` (from 0), branch by branch."""
        now = self.stages[stage]
        return [
            BlockSpec(
                name=f"stage{stage + 1}.parallel.branch{branch + 1}.block{depth + 1}",
                stage=stage,
                branch=branch,
                source_branch=branch,
                role="parallel",
                depth=depth,
                source=_stream(stage, branch),
                target=_stream(stage, branch),
                in_channels=channels,
                out_channels=channels,
                stride=1,
                reduction=self.reduction(stage) << branch,
                identity=True,
                operators=self.parallel[branch],
            )
            for branch, (channels, count) in enumerate(zip(now.channels, now.blocks, strict=True))
            for depth in range(count)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, as they stand in YAML and JSON."""
        values: dict[str, Any] = plain(
            {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        )
        for stage in values["stages"]:
            if stage["stride"] == 1:
                del stage["stride"]
        return values


def _stem_stream(convolution: int) -> str:
    return f"stem{convolution + 1}"


def _stream(stage: int, branch: int) -> str:
    return f"stage{stage + 1}.branch{branch + 1}"


def plain(value: Any) -> Any:
    """``value`` with mappings as dictionaries, tuples as lists, dataclasses as dictionaries."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value
