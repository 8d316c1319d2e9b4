"""Backbones from pytorchcv (``pip install 'gazenas[backbones]'``) with fresh weights, their classifiers cut off, and
a linear layer."""

from __future__ import annotations

import importlib
from collections import OrderedDict

import torch
from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.layers.linear import FullPrecisionLinear
from gazenas.models.baselines.baseline import Baseline, BaselineSpec

# Our name: module and function of pytorchcv.models.
SOURCES = {
    "resnet18": ("resnet", "resnet18"),
    "resnet50": ("resnet", "resnet50"),
    "cbam-resnet50": ("cbamresnet", "cbam_resnet50"),
    "mobilenetv2": ("mobilenetv2", "mobilenetv2_w1"),
    "mobilenetv3": ("mobilenetv3", "mobilenetv3_large_w1"),
    "shufflenetv2": ("shufflenetv2", "shufflenetv2_w1"),
    "ghostnet": ("ghostnet", "ghostnet"),
    "squeezenet": ("squeezenet", "squeezenet_v1_1"),
    "squeezenet-until-9": ("squeezenet", "squeezenet_v1_1"),
}
# Layers of the last stage that are cut off, as a thesis on tiny networks for eye tracking cuts SqueezeNet.
CUT_OFF = {"squeezenet-until-9": 3}


class PooledBackbone(nn.Module):
    """A backbone's last map, averaged, and a linear layer.

    Args:
        backbone: images to ``(N, channels, h, w)``.
        channels: of that map.
    """

    def __init__(self, *, backbone: nn.Module, channels: int) -> None:
        super().__init__()
        self.backbone, self.gaze = backbone, FullPrecisionLinear(channels, 2)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians."""
        gaze: Tensor = self.gaze(self.backbone(images).mean((2, 3)))
        return gaze


def feature_layers(name: str) -> tuple[nn.Module, int]:
    """Everything of one of ``SOURCES`` up to its last map, and that map's channels.

    Raises:
        InputError: where pytorchcv is not installed.
    """
    module, function = SOURCES[name]
    try:
        source = importlib.import_module(f"pytorchcv.models.{module}")
    except ModuleNotFoundError as error:
        raise InputError(f"{name} needs {error.name}: pip install 'gazenas[backbones]'") from error
    layers = OrderedDict(getattr(source, function)(pretrained=False).features.named_children())
    layers.pop("final_pool", None)
    if name in CUT_OFF:
        layers.pop("dropout")
        last = next(reversed(layers))
        layers[last] = nn.Sequential(*list(layers[last])[: -CUT_OFF[name]])
    features = nn.Sequential(layers)
    with torch.no_grad():
        channels = features.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    return features.train(), int(channels)


def backbone(name: str, input_size: int = 224) -> Baseline:
    """A baseline on one of ``SOURCES``.

    Raises:
        InputError: where pytorchcv is not installed.
    """
    features, channels = feature_layers(name)
    body = PooledBackbone(backbone=features, channels=channels)
    return Baseline(spec=BaselineSpec(name, input_size), body=body)
