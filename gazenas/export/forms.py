"""A network in the form in which onnxruntime answers fastest: fewer and larger operations, the same function in eval
mode.

A runtime takes about a microsecond to begin an operation. onnxruntime on a CPU keeps maps in blocks of channels
from one convolution to the next, and changes their layout, which costs as much as a small convolution, wherever
something in between splits or joins them, scales them by a number a channel, or has a number of channels that fills no
blocks.
The form is made
from a trained module for one input size, computes the same up to rounding, and cannot be trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gazenas.export.token_form import TokenForm
from gazenas.export.widening import conv, hidden_width, norm_affine, widened
from gazenas.layers.activation import ACTIVATIONS, Activation
from gazenas.models.heads import Head
from gazenas.models.heads.mrft import MRFTHead
from gazenas.models.network import Network
from gazenas.models.search_block import SearchBlock
from gazenas.ops.channels import BLOCK, round_up
from gazenas.ops.conv import ConvPair
from gazenas.ops.mixconv import MixConv
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.tokens import TokenTransformer

BEGINNING = 200_000  # multiply-accumulates in the time that beginning three convolutions takes
DEPTHWISE = 3  # times as long as one of a pointwise convolution takes one of a depthwise one
FILLED = (MixConv, TokenTransformer)  # operators whose forms read and write as many channels as they are told
Kernels = list[tuple[int, int]]  # sides and channels


def runtime_form(network: nn.Module) -> nn.Module:
    """A copy for a runtime, in eval mode, with the same answers.

    Args:
        network: any; a subnet's search blocks take forms of their own, elsewhere BatchNorms are folded into the
            convolutions before them.
    """
    form = deepcopy(network).eval()
    if isinstance(form, Network) and not form.importances():
        widths = form.stream_widths()
        fold_norms(form)
        _reform(form, widths)
    else:
        fold_norms(form)
    return form


def fold_norms(module: nn.Module) -> None:
    """Folds each BatchNorm that follows a convolution in an ``nn.Sequential`` into it, in place; the module must be
    in eval mode."""
    for child in module.children():
        fold_norms(child)
    if not isinstance(module, nn.Sequential):
        return
    for number in range(len(module) - 1, 0, -1):
        before, layer = module[number - 1], module[number]
        if type(before) is nn.Conv2d and isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            module[number - 1] = fuse_conv_bn_eval(before, layer)
            del module[number]


def _reform(network: Network, widths: Mapping[str, int]) -> None:
    """Brings search blocks into their forms and fills the channels of the maps between them up to whole blocks, in
    place."""
    if any(height != width for height, width in network.space.sizes()):
        return  # the forms are of square maps
    paths = {id(module): path for path, module in network.named_modules()}
    specs = {spec.name: spec for spec in network.space.blocks()}
    blocks = network.blocks()
    # Other operators read and write exactly the channels that they were built for.
    fills = all(isinstance(path, FILLED) for block in blocks.values() for path in block.paths.values())
    multiple = BLOCK if fills else 1  # onnxruntime pools in blocks only where all are whole
    for name, block in blocks.items():
        spec = specs[name]
        channels = round_up(widths[spec.source], multiple), round_up(widths[spec.target], multiple)
        form = BlockForm(block, channels, side=network.space.size_at(spec.reduction)[0], stride=spec.stride)
        network.set_submodule(paths[id(block)], form)
    if fills:
        _fill_ends(network, [widths[name] for name in network.space.head_streams()])


def _fill_ends(network: Network, channels: Sequence[int]) -> None:
    """Stem and head write and read maps of whole blocks."""
    stem, before = network.stem, network.input_channels
    for number, layer in enumerate(stem):
        if isinstance(layer, nn.Conv2d):
            stem[number] = widened(layer, before, round_up(layer.out_channels, BLOCK))
            before = round_up(layer.out_channels, BLOCK)
    if isinstance(network.head, MRFTHead):
        for reduce in network.head.reduce:
            layers = cast(nn.Sequential, reduce)
            first = cast(nn.Conv2d, layers[0])
            layers[0] = widened(first, round_up(first.in_channels, BLOCK), first.out_channels)
    else:
        network.head = Narrowed(network.head, channels)


class Narrowed(Head):
    """A head that reads the first channels of each map.

    Args:
        head: list of maps to gaze.
        channels: that it expects of each.
    """

    def __init__(self, head: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        self.head, self.channels = head, channels

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One ``(N, at least c_i, h_i, w_i)`` a branch to what the head gives."""
        gaze: Tensor = self.head([x[:, :count] for x, count in zip(maps, self.channels, strict=True)])
        return gaze


class BlockForm(nn.Module):
    """A :class:`SearchBlock` whose paths are added one after another, so that a sum can be a convolution's own.

    Args:
        block: without importance factors, its residual path's BatchNorm folded.
        channels: of the maps that it reads and writes; those that the block lacks are zero.
        side: of the input map in pixels.
        stride: of the block.
    """

    bias: Tensor | None

    def __init__(self, block: SearchBlock, channels: tuple[int, int], *, side: int, stride: int) -> None:
        super().__init__()
        self.activation = block.activation
        self.residual: nn.Module | None = None
        if block.residual is not None:
            pool, reduce = block.residual
            self.residual = nn.Sequential(pool, widened(cast(nn.Conv2d, reduce), *channels))
        self.squeeze = None if block.squeeze is None else ExciteForm(block.squeeze, side, channels[0])
        self.paths = nn.ModuleList()
        for path in block.paths.values():
            if isinstance(path, MixConv):
                self.paths.extend(mixconv_forms(path, -(-side // stride), channels))
            elif isinstance(path, ConvPair):
                self.paths.append(conv_pair_form(path))
            else:
                self.paths.append(TokenForm(path, side, *channels) if isinstance(path, TokenTransformer) else path)
        self.register_buffer("bias", None)
        if block.bias is not None:
            self._add_bias(F.pad(block.bias.detach(), (0, channels[1] - block.bias.numel())))

    def _add_bias(self, bias: Tensor) -> None:
        """To a convolution that closes a path or the residual one, else for itself."""
        for part in (*self.paths, self.residual):
            closing = part.restore if isinstance(part, TokenForm) else part
            closing = closing[-1] if isinstance(closing, nn.Sequential) else closing
            if isinstance(closing, nn.Conv2d) and closing.bias is not None:
                closing.bias = nn.Parameter(closing.bias.detach() + bias)
                return
        self.bias = bias.view(1, -1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, h, w)`` to ``(N, c', h / stride, w / stride)``."""
        total: Tensor = x if self.residual is None else self.residual(x)
        excited = x if self.squeeze is None else self.squeeze(x)
        for path in self.paths:
            total = total + path(excited)
        if self.bias is not None:
            total = total + self.bias
        return ACTIVATIONS[self.activation](total) if self.activation else total


class ExciteForm(nn.Module):
    """A :class:`SqueezeExcite` that pools and scales without leaving the blocked layout.

    Args:
        squeeze: the trained one.
        side: of the map in pixels.
        channels: of the map.
    """

    def __init__(self, squeeze: SqueezeExcite, side: int, channels: int) -> None:
        super().__init__()
        self.side = side
        hidden = hidden_width(squeeze.squeeze.out_channels)
        self.squeeze = widened(squeeze.squeeze, channels, hidden)
        self.excite = widened(squeeze.excite, hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, c, side, side)`` to the same shape."""
        factors = self.excite(self.squeeze(F.avg_pool2d(x, self.side)).relu()).sigmoid()
        # onnxruntime multiplies in blocks what has one shape, and enlarges in blocks; it does not repeat in blocks.
        return x * F.interpolate(factors, scale_factor=float(self.side), mode="nearest")


def conv_pair_form(path: ConvPair) -> nn.Sequential:
    """A :class:`ConvPair` as two convolutions with their BatchNorms folded in.

    Args:
        path: without importance factors, at least one unit.
    """
    first, second = (fuse_conv_bn_eval(*pair) for pair in ((path.first, path.first_norm), (path.second, path.norm)))
    return nn.Sequential(first, Activation(path.activation), second)


def mixconv_forms(path: MixConv, side: int, channels: tuple[int, int]) -> list[nn.Sequential]:
    """A :class:`MixConv` as chains of convolutions, whose sum it is.

    Kernel sizes of few channels share a chain, as kernels of the largest of them with a rim of zeros.

    Args:
        path: without importance factors, at least one unit.
        side: of its output in pixels.
        channels: read and written.
    """
    counts = sorted((int(kernel), count) for kernel, count in path.widths().items() if count)
    parts = min(_runs(counts), key=lambda parts: sum(_effort(part, side, sum(channels)) for part in parts))
    _, closing = norm_affine(path.norm)
    biases = [closing, *[torch.zeros_like(closing)] * (len(parts) - 1)]
    return [_chain(path, part, channels, bias) for part, bias in zip(parts, biases, strict=True)]


def _runs(counts: Kernels) -> list[list[Kernels]]:
    """All ways to cut a list into runs of neighbors."""
    firsts = range(1, len(counts) + 1)
    return [[counts[:first], *rest] for first in firsts for rest in _runs(counts[first:])] or [[]]


def _effort(part: Kernels, side: int, channels: int) -> int:
    """Multiply-accumulates of a chain in whole blocks, and as many as could be done while it begins."""
    width = round_up(sum(count for _, count in part), BLOCK)
    return BEGINNING + side**2 * width * (channels + DEPTHWISE * part[-1][0] ** 2)


def _chain(path: MixConv, part: Kernels, channels: tuple[int, int], closing: Tensor) -> nn.Sequential:
    """Expansion, depthwise convolution and projection of some kernel sizes, BatchNorms folded, ``closing`` added."""
    largest = part[-1][0]
    rows, kernels, start = [], [], 0
    for kernel, convolution in path.depthwise.items():
        weight = cast(nn.Conv2d, convolution).weight.detach().double()
        if int(kernel) in dict(part):
            rows += list(range(start, start + len(weight)))
            kernels.append(F.pad(weight, [(largest - int(kernel)) // 2] * 4))
        start += len(weight)
    scale, shift = (each[rows] for each in norm_affine(path.expand_norm))
    inner_scale, inner_shift = (each[rows] for each in norm_affine(path.depthwise_norm))
    outer_scale, _ = norm_affine(path.norm)
    expand = path.expand.weight.detach().double()[rows] * scale.view(-1, 1, 1, 1)
    depthwise = torch.cat(kernels) * inner_scale.view(-1, 1, 1, 1)
    project = path.project.weight.detach().double()[:, rows] * outer_scale.view(-1, 1, 1, 1)
    dtype, width = path.project.weight.dtype, hidden_width(len(rows))
    return nn.Sequential(
        conv(expand, shift, dtype, (channels[0], width)),
        Activation(path.activation),
        conv(depthwise, inner_shift, dtype, (width, width), stride=path.stride, groups=width),
        Activation(path.activation),
        conv(project, closing, dtype, (width, channels[1])),
    )
