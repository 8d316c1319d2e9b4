"""The same network with its channels filled up to a multiple, for runtimes that compute channels in blocks."""

from __future__ import annotations

from copy import deepcopy

import torch

from gazenas.models.build import build_network, full_architecture
from gazenas.models.network import Network
from gazenas.models.parts import leaving_together
from gazenas.ops.channels import round_up
from gazenas.space.architecture import Architecture
from gazenas.space.search_space import STREAM

Span = tuple[int, int, int]  # dimension, start, count


def fill_channels(network: Network, multiple: int) -> Network:
    """A copy in which every kernel size of a MixConv, and every hidden layer, has a multiple of channels, or all that
    its space has.

    A channel that is added is zero on its way in and on its way out, so in eval mode the copy answers what the
    network does, up to rounding; it has more MACs and more parameters. It is meant for export, not for training.

    Args:
        network: a subnet, without importance factors; left as it was.
        multiple: at least 1.

    Returns:
        A subnet in float32, on the CPU, in eval mode.
    """
    arch = network.architecture()
    wide_arch = _filled(arch, multiple)
    wide = build_network(wide_arch, importance=False, input_channels=network.input_channels)
    wide.head = deepcopy(network.head).cpu().float()
    spans, wide_spans = _spans(arch), _spans(wide_arch)
    parameters = {name for name, _ in wide.named_parameters()}
    state = network.state_dict()
    with torch.no_grad():
        for name, tensor in wide.state_dict().items():
            if tensor.shape == state[name].shape:
                tensor.copy_(state[name])
                continue
            if name in parameters:  # the statistics of a new channel stay those of a new network
                tensor.zero_()
            for (dim, start, count), (_, wide_start, _) in zip(spans[name], wide_spans[name], strict=True):
                tensor.narrow(dim, wide_start, count).copy_(state[name].narrow(dim, start, count))
    return wide.eval()


def _filled(arch: Architecture, multiple: int) -> Architecture:
    """Streams, and operators that a runtime computes unit by unit, stay as they are, and so does what has no units."""
    full = full_architecture(arch.space).kept

    def filled(block: str, operator: str, group: str, units: int) -> int:
        together = 1 if operator == STREAM else leaving_together(operator, multiple)
        return round_up(units, together, full[block][operator][group])

    return arch.with_counts(filled)


def _spans(arch: Architecture) -> dict[str, list[Span]]:
    """By the name of a tensor, where the units of one group after another lie in it."""
    network = build_network(arch, importance=True)
    names = {id(module): name for name, module in network.named_modules()}
    spans: dict[str, list[Span]] = {}
    for block in network.blocks().values():
        for operator in block.operators().values():
            for units in operator.units():
                for piece in units.slices:
                    span = (piece.dim, piece.start, units.alpha.numel())
                    spans.setdefault(f"{names[id(piece.module)]}.{piece.name}", []).append(span)
    return spans
