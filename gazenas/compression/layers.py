"""Layers behind a named one leave: a published backbone ends earlier, and a fresh linear layer reads its last map."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gazenas.errors import InputError
from gazenas.models.baselines import SOURCES, Baseline, BaselineSpec
from gazenas.models.zoo import GazeModel, build_described


def end_at(network: GazeModel, until: str) -> Baseline:
    """The network up to a layer, with its weights; the last linear layer is fresh where the map has other channels.

    Args:
        network: a backbone with all its channels, left as it is.
        until: its last layer, such as ``stage2.unit1``, or of SqueezeNet torchvision's number of it.

    Raises:
        InputError: where the network cannot end early, or has no such layer.
    """
    spec = network.architecture()
    if not isinstance(spec, BaselineSpec) or spec.baseline not in SOURCES or spec.channels:
        raise InputError(
            f"--kind layers: expected one of the backbones {', '.join(SOURCES)} with all its channels: others have no "
            f"layer that they could end at"
        )
    if "until" in spec.settings:
        raise InputError(
            f"--kind layers: expected {spec.baseline} with all its layers, found one until {spec.settings['until']}"
        )
    if not until:
        raise InputError("--until: expected the layer that the network ends at, found none")
    described = BaselineSpec(spec.baseline, spec.input_size, {**spec.settings, "until": until})
    shorter = build_described(described, f"--until {until}").to(next(network.parameters()).device)
    assert isinstance(shorter, Baseline), type(shorter)
    fitting = _fitting(shorter, network.state_dict())
    shorter.load_state_dict(fitting, strict=False)
    return shorter.train(network.training)


def _fitting(network: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = network.state_dict()
    return {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
