"""The one network class: at full width with importance factors it is a supernet, without them a subnet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.answers import replace_answer
from gazenas.models.heads import Head
from gazenas.models.parts import BlockPart, HeadPart, Part, StemPart
from gazenas.models.search_block import SearchBlock
from gazenas.ops.stream import Stream, StreamNorm, folded
from gazenas.ops.units import TensorSlice, Units, fit_attributes, norm_slices
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import CHANNEL, STREAM, SearchSpace
from gazenas.tasks import TASKS
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB: how images enter every network
GRAY_MEAN, GRAY_STD = 0.449, 0.226  # of their mean, for networks that read one channel


class Network(nn.Module):
    """Stem, stages of fusion and parallel modules, and a gaze head.

    Args:
        space: what the network was drawn from, kept so that it can say its architecture.
        stem: image to the first map: convolution, BatchNorm and ReLU for each of the space's.
        stages: each takes and gives a list of maps, the highest resolution first.
        head: list of maps to gaze.
        blocks: the search blocks inside ``stages`` by their names in ``space``.
        streams: importance factors of the streams' channels by the streams' names, where they are units of the search.
        task: what it predicts; the head's last layer is made anew for any but gaze.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        stem: nn.Sequential,
        stages: Sequence[nn.Module],
        head: Head,
        blocks: Mapping[str, SearchBlock],
        streams: Mapping[str, Stream],
        task: Task = GAZE,
    ) -> None:
        super().__init__()
        self.space, self._task = space, task.name  # a name, so that copies are of the same task
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head
        if task is not GAZE:
            replace_answer(head, task)
        self.streams = nn.ModuleList(streams.values())
        paths = {id(module): path for path, module in self.named_modules()}
        self._block_paths = {name: paths[id(block)] for name, block in blocks.items()}

    @property
    def task(self) -> Task:
        """What it predicts."""
        return TASKS[self._task]

    @property
    def input_size(self) -> int:
        """Side of the input images in pixels."""
        return self.space.input_size

    @property
    def input_channels(self) -> int:
        """3, RGB, or as many as the network was built for."""
        first = next(module for module in self.stem.modules() if isinstance(module, nn.Conv2d))
        return first.in_channels

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what it takes besides images: nothing."""
        return ()

    def example_inputs(self, count: int) -> dict[str, Tensor]:
        """Of these, for so many images: nothing."""
        return {}

    def reset_head(self, *, outputs: int = 2) -> None:
        """Gives the head a fresh last layer, for a new task.

        Args:
            outputs: numbers an image; the network then gives ``(N, outputs)``.
        """
        last = self.head.gaze
        self.head.gaze = FullPrecisionLinear(last.in_features, outputs).to(last.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images to gaze, or to what the task asks for.

        Args:
            images: ``(N, 3, S, S)`` RGB, normalized with the ImageNet mean and deviation, S the input size.

        Returns:
            ``(N, 2)`` pitch and yaw in radians, or ``(N, outputs)`` of another task.
        """
        gaze: Tensor = self.head(self.forward_features(images))
        return gaze

    def forward_features(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, S, S)`` to one map a branch: ``(N, c_i, S / 4, S / 4)``, ``(..., S / 8, S / 8)`` and so
        on."""
        size, channels = self.input_size, self.input_channels
        if images.dim() != 4 or tuple(images.shape[1:]) != (channels, size, size):
            raise ValueError(f"expected images of shape (N, {channels}, {size}, {size}), found {tuple(images.shape)}")
        if self.space.window:
            top, bottom, left, right = self.space.window
            images = images[:, :, top:bottom, left:right]
        maps = [self.stem(images)]
        for stage in self.stages:
            maps = stage(maps)
        return maps

    def blocks(self) -> dict[str, SearchBlock]:
        """The search blocks by their names in the space, in the order in which they run."""
        found = {}
        for name, path in self._block_paths.items():
            block = self.get_submodule(path)
            assert isinstance(block, SearchBlock), path
            found[name] = block
        return found

    def parts(self) -> dict[str, Part]:
        """Everything that takes MACs and depends on units: the stem, the blocks by their names, the head."""
        specs = self.space.blocks()
        blocks = self.blocks()
        parts: dict[str, Part] = {"stem": StemPart(self.input_channels, self.space)}
        parts |= {spec.name: BlockPart(blocks[spec.name], spec, self.space.size_at(spec.reduction)) for spec in specs}
        return parts | {"head": HeadPart(self.head, self.space)}

    def stream_units(self) -> dict[str, Units]:
        """The units of every stream by its name; none where streams are not searched, or in a subnet."""
        if not len(self.streams):
            return {}
        found: dict[str, list[TensorSlice]] = {name: [] for name in self.space.searched_streams()}
        stem = list(found)[: len(self.space.stem)]
        for number, name in enumerate(stem):
            convolution, norm = self.stem[3 * number], self.stem[3 * number + 1]
            found[name] += [TensorSlice(convolution, "weight", 0), *norm_slices(norm)]  # type: ignore[arg-type]
            if number:
                found[stem[number - 1]].append(TensorSlice(convolution, "weight", 1))
        blocks = self.blocks()
        for spec in self.space.blocks():
            found[spec.source] += blocks[spec.name].reads()
            found[spec.target] += blocks[spec.name].writes()
        last = self.space.head_streams()
        for name, piece in zip(last, self.head.reads([self._stream_width(name) for name in last]), strict=True):
            found[name].append(piece)
        return {
            name: Units(CHANNEL, STREAM, stream.alpha, (TensorSlice(stream, "alpha", 0), *found[name]))
            for name, stream in zip(found, self._streams(), strict=True)
        }

    def drop_unused(self) -> None:
        """Brings everything else in line after units were cut from the tensors."""
        for block in self.blocks().values():
            block.drop_unused()
        fit_attributes(self)

    def fold(self) -> None:
        """Multiplies all importance factors into the weights and forgets them; the eval-mode function stays."""
        for block in self.blocks().values():
            block.fold()
        for index, layer in enumerate(self.stem):
            if isinstance(layer, StreamNorm):
                self.stem[index] = folded(layer)
        self.streams = nn.ModuleList()

    def importances(self) -> list[nn.Parameter]:
        """All importance factors, one vector a unit group; none in a subnet."""
        return [stream.alpha for stream in self._streams()] + [
            units.alpha
            for block in self.blocks().values()
            for operator in block.operators().values()
            for units in operator.units()
        ]

    def widths(self) -> dict[str, dict[str, dict[str, int]]]:
        """Units by block, operator and group as they stand, those of the streams first."""
        streams = {name: {STREAM: {CHANNEL: self._stream_width(name)}} for name in self.space.searched_streams()}
        return streams | {name: block.widths() for name, block in self.blocks().items()}

    def stream_widths(self) -> dict[str, int]:
        """Channels of every stream as they stand, searched or not."""
        return {
            name: self._stream_width(name) if self.space.least_stream_width else full
            for name, full in self.space.streams().items()
        }

    def _streams(self) -> list[Stream]:
        return [cast(Stream, stream) for stream in self.streams]

    def _stream_width(self, name: str) -> int:
        """Channels of a searched stream, by a convolution that writes it."""
        stem = list(self.space.streams())[: len(self.space.stem)]
        if name in stem:
            writer = self.stem[3 * stem.index(name)]
        else:
            blocks = self.blocks()
            residuals = (blocks[spec.name].residual for spec in self.space.blocks() if spec.target == name)
            writer = next(each for each in residuals if each is not None)[1]
        return cast(nn.Conv2d, writer).weight.shape[0]

    def architecture(self) -> Architecture:
        """What the network keeps of its space, as it stands."""
        operators = {spec.name: list(spec.operators) for spec in self.space.blocks()}
        kept = {
            name: {operator: groups[operator] for operator in operators.get(name, [STREAM])}
            for name, groups in self.widths().items()
        }
        return Architecture(self.space, kept, self.task.name)


def as_network(module: object) -> Network:
    """The gazenas network that ``module`` is or wraps (an average, DistributedDataParallel)."""
    inner = getattr(module, "module", module)
    if not isinstance(inner, Network):
        raise TypeError(
            f"expected a network of gazenas, or a wrapper with one as its module, found {type(module).__name__}"
        )
    return inner
