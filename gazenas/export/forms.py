"""A network in the form in which a runtime answers fastest: fewer and larger operations, the same function in eval mode.

onnxruntime takes one to two microseconds to begin an operation, and computes convolutions in blocks of channels: it keeps maps in
blocks from one convolution to the next as long as nothing in between splits them, joins them or multiplies them by a
channel's number, and it does so only where channels are a multiple of four. What a network is trained as is therefore not what it
is fastest as. Each form here is made from a trained module and computes what that one does in eval mode, up to rounding.
"""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gazenas.export.token_form import TokenForm
from gazenas.export.widening import CHANNELS, conv, norm_affine, rounded, widened
from gazenas.models.heads.mrft import MRFTHead
from gazenas.models.network import Network
from gazenas.models.search_block import SearchBlock
from gazenas.ops.mixconv import MixConv
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.tokens import TokenTransformer

BLOCK = 16  # channels that a runtime computes at once, with AVX-512
BEGINNING = 60_000  # multiply-accumulates that could be done while another three convolutions begin
DEPTHWISE = 3  # times as long as one of a pointwise convolution takes one of a depthwise one
KNOWN = (MixConv, TokenTransformer)


def runtime_form(network: nn.Module) -> nn.Module:
    """A copy of ``network`` for a runtime.

    Args:
        network: any; a subnet's search blocks take their own forms, elsewhere each BatchNorm behind a convolution is folded into it.

    Returns:
        A module in eval mode with the same answers; for export alone, since it has other parameters.
    """
    form = deepcopy(network).eval()
    if isinstance(form, Network) and not form.importances():
        _reform(form)
    _fold_norms(form)
    return form


def _fold_norms(module: nn.Module) -> None:
    """Folds BatchNorms into the convolutions that stand before them in an ``nn.Sequential``, in place."""
    for child in module.children():
        _fold_norms(child)
    if not isinstance(module, nn.Sequential):
        return
    layers: list[nn.Module] = []
    for layer in module:
        last = layers[-1] if layers else None
        if isinstance(layer, nn.BatchNorm2d) and type(last) is nn.Conv2d and layer.running_mean is not None:
            layers[-1] = fuse_conv_bn_eval(last, layer)
        else:
            layers.append(layer)
    kept = {str(number): layer for number, layer in enumerate(layers)}
    module._modules.clear()
    module._modules.update(kept)


def _reform(network: Network) -> None:
    """Brings search blocks and what lies between them into their forms, in place."""
    specs = {spec.name: spec for spec in network.space.blocks()}
    blocks = network.blocks()
    known = all(isinstance(path, KNOWN) for block in blocks.values() for path in block.paths.values())
    multiple = CHANNELS if known else 1
    for name, block in blocks.items():
        side = network.space.input_size // specs[name].reduction
        form = BlockForm(block, specs[name].in_channels, specs[name].out_channels, side, specs[name].stride, multiple)
        parent, _, child = network._block_paths[name].rpartition(".")
        network.get_submodule(parent)._modules[child] = form
    if multiple == 1:
        return
    _fold_norms(network.stem)
    layers, before = cast(nn.Sequential, network.stem), network.input_channels
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            layers[number] = widened(layer, before, rounded(layer.out_channels))
            before = rounded(layer.out_channels)
    channels = network.space.stages[-1].channels
    if isinstance(network.head, MRFTHead):
        _fold_norms(network.head)
        for reduce in network.head.reduce:
            first = cast(nn.Sequential, reduce)[0]
            cast(nn.Sequential, reduce)[0] = widened(first, rounded(first.in_channels), first.out_channels)
    elif any(count % multiple for count in channels):
        network.head = Narrowed(network.head, channels)


class Narrowed(nn.Module):
    """A head that reads the first channels of each map.

    Args:
        head: list of maps to gaze.
        channels: that it expects of each.
    """

    def __init__(self, head: nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.head, self.channels = head, channels

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One ``(N, at least c_i, h_i, w_i)`` a branch to what the head gives."""
        gaze: Tensor = self.head([x[:, :count] for x, count in zip(maps, self.channels, strict=True)])
        return gaze


class BlockForm(nn.Module):
    """A :class:`SearchBlock` whose paths are added one after another, so that each sum can be a convolution's own.

    Args:
        block: without importance factors.
        in_channels, out_channels: c and c'.
        side: of the input map in pixels.
        stride: of the block.
        multiple: channels of the maps that it reads and writes are a multiple of this; those that are added are zero.
    """

    def __init__(
        self, block: SearchBlock, in_channels: int, out_channels: int, side: int, stride: int, multiple: int
    ) -> None:
        super().__init__()
        wide_in, wide_out = rounded(in_channels, multiple), rounded(out_channels, multiple)
        self.residual = block.residual
        _fold_norms(self.residual)
        if isinstance(self.residual, nn.Sequential):
            pool, reduce = self.residual
            self.residual = nn.Sequential(pool, widened(reduce, wide_in, wide_out))
        self.squeeze = None if block.squeeze is None else ExciteForm(block.squeeze, side, wide_in)
        self.paths = nn.ModuleList()
        for path in block.paths.values():
            if isinstance(path, MixConv):
                self.paths.extend(mixconv_forms(path, -(-side // stride), wide_in, wide_out))
            elif isinstance(path, TokenTransformer):
                self.paths.append(TokenForm(path, side, wide_in, wide_out))
            else:
                self.paths.append(path)
        bias = None if block.bias is None else block.bias.detach().view(1, -1, 1, 1)
        self.register_buffer("bias", None if bias is None else F.pad(bias, (0, 0, 0, 0, 0, wide_out - out_channels)))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``, c and c' rounded up."""
        total: Tensor = self.residual(x)
        excited = x if self.squeeze is None else self.squeeze(x)
        for path in self.paths:
            total = total + path(excited)
        return total if self.bias is None else total + self.bias


class ExciteForm(nn.Module):
    """A :class:`SqueezeExcite` that pools and scales in shapes that need no change of layout.

    Args:
        squeeze: the trained one.
        side: of the map in pixels.
        channels: of the map, rounded up.
    """

    def __init__(self, squeeze: SqueezeExcite, side: int, channels: int) -> None:
        super().__init__()
        self.side = side
        hidden = squeeze.squeeze.out_channels
        self.squeeze = widened(squeeze.squeeze, channels, rounded(hidden))
        self.excite = widened(squeeze.excite, rounded(hidden), channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, s, s)`` to the same shape."""
        mean = F.avg_pool2d(x, self.side)
        return x * self.excite(self.squeeze(mean).relu()).sigmoid()


def mixconv_forms(path: MixConv, side: int, in_channels: int, out_channels: int) -> list[nn.Module]:
    """A :class:`MixConv` as chains of convolutions whose sum it is.

    Kernel sizes that have few channels share a chain, as kernels of the largest size among them whose rim is zero.

    Args:
        path: without importance factors, at least one unit.
        side: of its output in pixels.
        in_channels, out_channels: c and c', rounded up.
    """
    counts = [(int(kernel), count) for kernel, count in path.widths().items() if count]
    forms: list[nn.Module] = []
    start = 0
    _, closing = norm_affine(path.norm)
    for part in min(_partitions(sorted(counts)), key=lambda parts: _effort(parts, side, in_channels + out_channels)):
        forms.append(_chain(path, [str(kernel) for kernel, _ in part], in_channels, out_channels, closing))
        closing = torch.zeros_like(closing)
        start += sum(count for _, count in part)
    return forms


def _partitions(counts: list[tuple[int, int]]) -> list[list[list[tuple[int, int]]]]:
    """All ways to cut the list into runs."""
    if not counts:
        return [[]]
    return [
        [counts[:first], *rest] for first in range(1, len(counts) + 1) for rest in _partitions(counts[first:])
    ]


def _effort(parts: list[list[tuple[int, int]]], side: int, channels: int) -> float:
    """Multiply-accumulates in whole blocks, and what beginning takes."""
    total = 0
    for part in parts:
        width = rounded(sum(count for _, count in part), BLOCK)
        total += BEGINNING + side**2 * width * (channels + DEPTHWISE * part[-1][0] ** 2)
    return total


def _chain(path: MixConv, kernels: list[str], in_channels: int, out_channels: int, closing: Tensor) -> nn.Module:
    """The channels of some kernel sizes: expansion, depthwise convolution and projection, BatchNorms folded."""
    starts, start = {}, 0
    for kernel, convolution in path.depthwise.items():
        starts[kernel] = range(start, start + convolution.out_channels)  # type: ignore[operator]
        start += convolution.out_channels  # type: ignore[operator]
    rows = torch.tensor([row for kernel in kernels for row in starts[kernel]])
    largest = max(int(kernel) for kernel in kernels)
    depthwise = torch.cat(
        [F.pad(path.depthwise[kernel].weight.detach(), [(largest - int(kernel)) // 2] * 4) for kernel in kernels]  # type: ignore[arg-type, union-attr, operator]
    ).double()
    width = rounded(len(rows))
    scale, shift = (each[rows] for each in norm_affine(path.expand_norm))
    expand = path.expand.weight.detach().double()[rows] * scale.view(-1, 1, 1, 1)
    inner_scale, inner_shift = (each[rows] for each in norm_affine(path.depthwise_norm))
    outer_scale, _ = norm_affine(path.norm)
    project = path.project.weight.detach().double()[:, rows] * outer_scale.view(-1, 1, 1, 1)
    dtype = path.project.weight.dtype
    return nn.Sequential(
        conv(expand, shift, dtype, in_channels, width),
        nn.ReLU(),
        conv(
            depthwise * inner_scale.view(-1, 1, 1, 1), inner_shift, dtype, width, width, stride=path.stride, groups=width
        ),
        nn.ReLU(),
        conv(project, closing, dtype, width, out_channels),
    )
