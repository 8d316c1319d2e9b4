"""MACs by two counters that are not ours."""

from __future__ import annotations

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def torch_macs(network: nn.Module, image: torch.Tensor) -> float:
    """By torch's counter, which counts two operations a MAC."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return counter.get_total_flops() / 2


def fvcore_macs(network: nn.Module, image: torch.Tensor) -> float:
    """By fvcore, of convolutions and products of matrices."""
    analysis = FlopCountAnalysis(network, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = analysis.by_operator()
    return sum(counted[key] for key in ("conv", "linear", "matmul", "bmm"))
