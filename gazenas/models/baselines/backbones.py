"""Backbones from pytorchcv (``pip install 'gazenas[backbones]'``) with fresh weights, their classifiers cut off, and
a linear layer."""

from __future__ import annotations

import importlib
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec

# Our name: module and function of pytorchcv.models.
SOURCES = {
    "resnet18": ("resnet", "resnet18"),
    "resnet34": ("resnet", "resnet34"),
    "resnet50": ("resnet", "resnet50"),
    "resnet101": ("resnet", "resnet101"),
    "resnet152": ("resnet", "resnet152"),
    "cbam-resnet50": ("cbamresnet", "cbam_resnet50"),
    "mobilenetv2": ("mobilenetv2", "mobilenetv2_w1"),
    "mobilenetv3": ("mobilenetv3", "mobilenetv3_large_w1"),
    "shufflenetv2": ("shufflenetv2", "shufflenetv2_w1"),
    "ghostnet": ("ghostnet", "ghostnet"),
    "squeezenet": ("squeezenet", "squeezenet_v1_1"),
    "efficientnet": ("efficientnet", "efficientnet_b0"),
    "condensenet": ("condensenet", "condensenet74_c4_g4"),
}
# torchvision's numbers of SqueezeNet 1.1's layers, by which papers name them; its ReLU has one, a block has its last.
SQUEEZENET_LAYERS = {
    "1": "init_block",
    "2": "stage1.pool1",
    "3": "stage1.unit1",
    "4": "stage1.unit2",
    "5": "stage2.pool2",
    "6": "stage2.unit1",
    "7": "stage2.unit2",
    "8": "stage3.pool3",
    "9": "stage3.unit1",
    "10": "stage3.unit2",
    "11": "stage3.unit3",
    "12": "stage3.unit4",
}


class PooledBackbone(nn.Module):
    """A backbone's last map, averaged, and a linear layer.

    Args:
        backbone: images to ``(N, channels, h, w)``.
        channels: of that map.
        dropout: share of the averaged channels that each image of a training batch does without.
    """

    def __init__(self, *, backbone: nn.Module, channels: int, dropout: float) -> None:
        super().__init__()
        self.backbone, self.gaze, self.dropout = backbone, FullPrecisionLinear(channels, 2), dropout

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians."""
        pooled = self.backbone(images).mean((2, 3))
        gaze: Tensor = self.gaze(F.dropout(pooled, self.dropout) if self.dropout and self.training else pooled)
        return gaze


def feature_layers(name: str, until: str = "") -> tuple[nn.Module, int]:
    """Everything of one of ``SOURCES`` up to its last map, and that map's channels.

    Args:
        name: which.
        until: its last layer, as :func:`truncate` takes it; all of them without it.

    Raises:
        InputError: where pytorchcv is not installed, or there is no such layer.
    """
    module, function = SOURCES[name]
    try:
        source = importlib.import_module(f"pytorchcv.models.{module}")
    except ModuleNotFoundError as error:
        raise InputError(f"{name} needs {error.name}: pip install 'gazenas[backbones]'") from error
    layers = OrderedDict(getattr(source, function)(pretrained=False).features.named_children())
    layers.pop("final_pool", None)
    features = nn.Sequential(layers)
    features = truncate(name, features, until) if until else features
    with torch.no_grad():
        channels = features.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    return features.train(), int(channels)


def truncate(name: str, features: nn.Sequential, until: str) -> nn.Sequential:
    """The layers up to one, that one included; modules are shared and keep their names.

    Args:
        name: of the backbone.
        features: its layers, those of a stage in a ``nn.Sequential`` of their own.
        until: a layer such as ``stage2.unit1``, or of SqueezeNet torchvision's number of it.

    Raises:
        InputError: naming the layers that there are.
    """
    numbers = SQUEEZENET_LAYERS if name == "squeezenet" else {}
    known = [
        f"{stage}.{layer}" if layer else stage
        for stage, module in features.named_children()
        for layer in (dict(module.named_children()) if type(module) is nn.Sequential else ("",))
    ]
    last = numbers.get(until, until)
    if last not in known:
        raise InputError(
            f"{name}@{until}: expected one of its layers ({', '.join([*numbers, *known])}), found {until!r}"
        )
    stage, _, layer = last.partition(".")
    kept: OrderedDict[str, nn.Module] = OrderedDict()
    for each, module in features.named_children():
        kept[each] = module
        if each == stage:
            break
    if layer:
        inside = list(features.get_submodule(stage).named_children())
        count = [each for each, _ in inside].index(layer) + 1
        kept[stage] = nn.Sequential(OrderedDict(inside[:count]))
    return nn.Sequential(kept)


def backbone(name: str, input_size: int = 224, until: str = "", dropout: str = "") -> Baseline:
    """A baseline on one of ``SOURCES``.

    Args:
        name: which.
        input_size: of the images.
        until: its last layer, as :func:`truncate` takes it; all of them without it.
        dropout: share of the averaged channels that is left out in training, such as ``0.2``; none without it.

    Raises:
        InputError: where pytorchcv is not installed, there is no such layer, or the share is no number from 0 to
            below 1.
    """
    share = _share(name, dropout) if dropout else 0.0
    features, channels = feature_layers(name, until)
    body = PooledBackbone(backbone=features, channels=channels, dropout=share)
    settings = {key: value for key, value in (("until", until), ("dropout", dropout)) if value}
    return Baseline(spec=BaselineSpec(name, input_size, settings), body=body)


def _share(name: str, dropout: str) -> float:
    try:
        share = float(dropout)
    except ValueError:
        share = 1.0
    if not 0 <= share < 1:
        raise InputError(f"{name}@dropout: expected a share from 0 to below 1, such as 0.2, found {dropout!r}")
    return share
