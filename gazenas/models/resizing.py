"""Layers with fewer channels than their builder gave them: what a pruned comparator is built of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.ops.units import fit_attributes

STATISTICS = ("weight", "bias", "running_mean", "running_var")


def layer_channels(layer: nn.Module) -> list[int]:
    """``[in, out]`` of a convolution or a linear layer, ``[channels]`` of a BatchNorm, empty for anything else."""
    if isinstance(layer, nn.Conv2d):
        return [layer.in_channels, layer.out_channels]
    if isinstance(layer, nn.Linear):
        return [layer.in_features, layer.out_features]
    return [layer.num_features] if isinstance(layer, nn.BatchNorm2d) else []


def keep_channels(layer: nn.Module, into: Tensor | None, out: Tensor) -> None:
    """Cuts a layer in place.

    Args:
        layer: a convolution, a linear layer or a BatchNorm.
        into: indices of the inputs that stay; None for all, for a BatchNorm and for a depthwise convolution, whose
            inputs are its outputs.
        out: indices of the outputs that stay.
    """
    for name in STATISTICS:
        tensor = getattr(layer, name, None)
        if tensor is None:
            continue
        cut = tensor.detach().index_select(0, out)
        if name == "weight" and into is not None:
            cut = cut.index_select(1, into)
        if isinstance(tensor, nn.Parameter):
            setattr(layer, name, nn.Parameter(cut, requires_grad=tensor.requires_grad))
        else:
            setattr(layer, name, cut)
    fit_attributes(layer)


@torch.no_grad()
def resize_layers(body: nn.Module, channels: Mapping[str, Sequence[int]], where: str, *, image: int) -> None:
    """Gives layers the channels of a pruned network, in place; weights stay fresh.

    Of what the builder drew the first channels stay, scaled to the deviation that the smaller fan-in asks for.

    Args:
        body: as built.
        channels: by path, as ``BaselineSpec`` has them.
        where: they were read, for messages.
        image: side of the images that it is tried with.

    Raises:
        InputError: where a layer is unknown, has fewer channels than it is to have, or they do not fit together.
    """
    layers = dict(body.named_modules())
    for name, left in channels.items():
        full = layer_channels(layers[name]) if name in layers else []
        if not full or len(full) != len(left) or any(count > most for count, most in zip(left, full, strict=True)):
            raise InputError(f"{where}: channels: {name}: expected at most {full or 'no such layer'}, found {left}")
        layer = layers[name]
        device = next(layer.parameters()).device
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
        into = torch.arange(left[0], device=device) if len(left) == 2 and not depthwise else None
        keep_channels(layer, into, torch.arange(left[-1], device=device))
        if into is not None:
            layer.weight.mul_((full[0] / left[0]) ** 0.5)
    parameter, training = next(body.parameters()), body.training
    try:
        body.eval()(torch.zeros(1, 3, image, image, device=parameter.device, dtype=parameter.dtype))
    except RuntimeError as error:
        raise InputError(f"{where}: channels: these do not fit together: {error}") from error
    finally:
        body.train(training)
