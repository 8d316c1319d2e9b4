"""Bytes of the exported float32 ONNX file.

A file holds four bytes a parameter, and names, shapes and operations besides, of which a path takes some along: the sum
over parts is fitted to files of the supernet and of the network of no units, and a search exports what it arrives at.
"""

from __future__ import annotations

import torch

from gazenas.costs.quantity import Quantity, Samples
from gazenas.costs.widths import architecture_with, empty_widths
from gazenas.models.network import Network
from gazenas.models.parts import NetworkWidths, Part
from gazenas.models.zoo import GazeModel, build_subnet
from gazenas.space.architecture import Architecture

FLOAT = 4  # bytes a parameter


def size(part: Part, widths: NetworkWidths) -> float:
    """Bytes of a part's parameters, without what is the same at all widths."""
    return FLOAT * part.params(widths)


def exported_bytes(arch: Architecture) -> int:
    """Size of the float32 ONNX file that ``gazenas export`` writes for a subnet of ``arch``, whatever its weights."""
    return file_bytes(build_subnet(arch))


def file_bytes(network: GazeModel) -> int:
    """The same of a network with fresh weights, which are overwritten."""
    from gazenas.export.onnx import onnx_bytes  # onnx is needed for this alone

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():  # the exporter keeps equal tensors once, and trained ones never are equal
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return len(onnx_bytes(network))


def both_ends(network: Network) -> Samples:
    """Bytes of the network of no units and of the network as it stands."""
    ends = (empty_widths(network), network.widths())
    return [(widths, exported_bytes(architecture_with(network, widths))) for widths in ends]


SIZE = Quantity(
    "size",
    "bytes",
    size,
    budget="size",
    help="bytes of the exported float32 file: 1000000, 1M or 40%",
    samples=both_ends,
    measure=exported_bytes,
)
