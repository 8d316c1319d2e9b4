"""The mixed convolution against one plain convolution a channel."""

import pytest
import torch
from torch.nn import functional as F

from gazenas.layers.depthwise import DepthwiseConv2d
from gazenas.ops.mixconv import MixConv


@pytest.mark.parametrize("widths", [{"3": 4, "5": 0, "7": 2}, {"3": 0, "5": 3, "7": 0}, {"3": 1, "5": 1, "7": 1}])
@pytest.mark.parametrize("stride", [1, 2])
def test_channel_by_channel(stride: int, widths: dict[str, int]) -> None:
    torch.manual_seed(0)
    path = MixConv(in_channels=3, out_channels=5, stride=stride, widths=widths, importance=True).double().eval()
    norms = (path.expand_norm, path.depthwise_norm, path.norm)
    with torch.no_grad():
        for tensor in (*path.alphas.values(), *(norm.running_mean for norm in norms)):
            assert tensor is not None
            tensor.normal_()
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    expanded = F.relu(path.expand_norm(torch.einsum("oi,nihw->nohw", path.expand.weight[:, :, 0, 0], x)))
    kernels = [(int(k), path.depthwise[k].weight[i]) for k, n in widths.items() for i in range(n)]  # type: ignore[index]
    alphas = torch.cat(list(path.alphas.values()))
    filtered = [
        F.conv2d(expanded[:, i : i + 1], weight[None], None, stride, side // 2)
        for i, (side, weight) in enumerate(kernels)
    ]
    hidden = F.relu(path.depthwise_norm(torch.cat(filtered, 1))) * alphas.view(1, -1, 1, 1)
    expected = path.norm(torch.einsum("oi,nihw->nohw", path.project.weight[:, :, 0, 0], hidden))
    torch.testing.assert_close(path(x), expected)
    assert path.widths() == widths


def test_a_depthwise_convolution_of_one_channel_is_still_one() -> None:
    """By its type: its numbers are those of a dense one, which optimizers treat otherwise."""
    path = MixConv(in_channels=3, out_channels=5, stride=1, widths={"3": 1}, importance=True)
    assert isinstance(path.depthwise["3"], DepthwiseConv2d)
    assert path.depthwise["3"].weight.shape == (1, 1, 3, 3)
