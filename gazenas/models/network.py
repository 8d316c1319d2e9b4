"""The one network class: at full width with importance factors it is a supernet, without them a subnet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from gazenas.architecture import Architecture, SearchSpace
from gazenas.models.search_block import SearchBlock

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB: how images enter every network


class Network(nn.Module):
    """Stem, stages of fusion and parallel modules, and a gaze head.

    Args:
        space: what the network was drawn from, kept so that it can say its architecture.
        stem: image to a map at a quarter of its size.
        stages: each takes and gives a list of maps, the highest resolution first.
        head: list of maps to gaze.
        blocks: the search blocks inside ``stages`` by their names in ``space``.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        head: nn.Module,
        blocks: Mapping[str, SearchBlock],
    ) -> None:
        super().__init__()
        self.space = space
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head
        paths = {id(module): path for path, module in self.named_modules()}
        self._block_paths = {name: paths[id(block)] for name, block in blocks.items()}

    @property
    def input_size(self) -> int:
        """Side of the input images in pixels."""
        return self.space.input_size

    @property
    def input_channels(self) -> int:
        """3, RGB, or as many as the network was built for."""
        first = next(module for module in self.stem.modules() if isinstance(module, nn.Conv2d))
        return first.in_channels

    def reset_head(self, *, outputs: int = 2) -> None:
        """Gives the head a fresh last layer, for a new task.

        Args:
            outputs: numbers an image; the network then gives ``(N, outputs)``.
        """
        last = self.head.gaze
        assert isinstance(last, nn.Linear), "every head ends in one"
        self.head.gaze = nn.Linear(last.in_features, outputs).to(last.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images to gaze.

        Args:
            images: ``(N, 3, S, S)`` RGB, normalised with the ImageNet mean and deviation, S the input size.

        Returns:
            ``(N, 2)`` pitch and yaw in radians.
        """
        gaze: Tensor = self.head(self.forward_features(images))
        return gaze

    def forward_features(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, S, S)`` to one map a branch: ``(N, c_i, S / 4, S / 4)``, ``(..., S / 8, S / 8)`` and so on."""
        size, channels = self.input_size, self.input_channels
        if images.dim() != 4 or tuple(images.shape[1:]) != (channels, size, size):
            raise ValueError(f"expected images of shape (N, {channels}, {size}, {size}), found {tuple(images.shape)}")
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

    def importances(self) -> list[nn.Parameter]:
        """All importance factors, one vector a unit group; none in a subnet."""
        return [
            units.alpha
            for block in self.blocks().values()
            for operator in block.operators().values()
            for units in operator.units()
        ]

    def architecture(self) -> Architecture:
        """What the network keeps of its space, as it stands."""
        specs = {spec.name: spec for spec in self.space.blocks()}
        kept = {}
        for name, block in self.blocks().items():
            widths = block.widths()
            kept[name] = {operator: widths[operator] for operator in specs[name].operators}
        return Architecture(self.space, kept)
