"""MACs and parameters, counted operation by operation as PyTorch runs them.

A MAC is one multiply-accumulate of a convolution, a linear layer or an attention product, for one image;
papers of this field print the same number as "FLOPs". Resizes, pooling, norms, activations and softmax are
known zeros. An operation in neither table is an error: a count is either complete or absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

Handle = Callable[[tuple[Any, ...], Any], int]


def _matrix_product(args: tuple[Any, ...], out: Tensor) -> int:
    return int(prod(out.shape)) * int(args[0].shape[-1])


def _biased_matrix_product(args: tuple[Any, ...], out: Tensor) -> int:
    return _matrix_product(args[1:], out)


def _convolution(args: tuple[Any, ...], out: Tensor) -> int:
    weight, transposed = args[1], args[6]
    pixels = args[0].shape[0] * prod(args[0].shape[2:]) if transposed else out.shape[0] * prod(out.shape[2:])
    return int(pixels) * int(prod(weight.shape))


def _attention(args: tuple[Any, ...], out: Any) -> int:
    query, key, value = args[:3]
    return int(prod(query.shape[:-1])) * int(key.shape[-2]) * int(query.shape[-1] + value.shape[-1])


def _lstm(args: tuple[Any, ...], out: Any) -> int:
    steps = int(prod(args[0].shape[:-1]))
    return steps * sum(int(weight.numel()) for weight in args[2] if weight.dim() == 2)


HANDLES: dict[str, Handle] = {
    "mm": _matrix_product,
    "bmm": _matrix_product,
    "addmm": _biased_matrix_product,
    "baddbmm": _biased_matrix_product,
    "convolution": _convolution,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_attention_math": _attention,
    "lstm": _lstm,
    "mkldnn_rnn_layer": lambda args, out: int(prod(args[0].shape[:-1])) * (int(args[1].numel()) + int(args[2].numel())),
}

ZEROS = frozenset(
    [
        "_adaptive_avg_pool2d",
        "_fused_rms_norm",
        "_log_softmax",
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_functional",
        "_native_batch_norm_legit_no_training",
        "_reshape_alias",
        "_safe_softmax",
        "_softmax",
        "_to_copy",
        "_unsafe_index",
        "_unsafe_view",
        "_upsample_bilinear2d_aa",
        "abs",
        "adaptive_avg_pool2d",
        "adaptive_max_pool2d",
        "add",
        "alias",
        "alias_copy",
        "all",
        "amax",
        "any",
        "arange",
        "as_strided",
        "avg_pool2d",
        "avg_pool3d",
        "bernoulli",
        "bitwise_not",
        "cat",
        "channel_shuffle",
        "clamp",
        "clamp_min",
        "clone",
        "constant_pad_nd",
        "copy",
        "cudnn_batch_norm",
        "cumsum",
        "detach",
        "div",
        "dropout",
        "elu",
        "empty",
        "empty_like",
        "eq",
        "exp",
        "expand",
        "fill",
        "flip",
        "full",
        "full_like",
        "gather",
        "ge",
        "gelu",
        "glu",
        "grid_sampler_2d",
        "gt",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "index",
        "index_select",
        "is_same_size",
        "leaky_relu",
        "lift_fresh",
        "linalg_vector_norm",
        "log",
        "logical_not",
        "lt",
        "max",
        "max_pool2d",
        "max_pool2d_backward",
        "max_pool2d_with_indices",
        "maximum",
        "mean",
        "minimum",
        "mish",
        "mkldnn_max_pool2d",
        "mul",
        "narrow",
        "native_batch_norm",
        "native_channel_shuffle",
        "native_dropout",
        "native_group_norm",
        "native_layer_norm",
        "ne",
        "neg",
        "new_empty",
        "new_full",
        "new_ones",
        "new_zeros",
        "norm",
        "ones",
        "ones_like",
        "permute",
        "pixel_shuffle",
        "pow",
        "prelu",
        "reciprocal",
        "relu",
        "relu6",
        "repeat",
        "roll",
        "rsqrt",
        "rsub",
        "scalar_tensor",
        "select",
        "select_backward",
        "sigmoid",
        "silu",
        "slice",
        "softplus",
        "split",
        "split_with_sizes",
        "sqrt",
        "square",
        "squeeze",
        "stack",
        "std",
        "sub",
        "sum",
        "t",
        "tanh",
        "transpose",
        "tril",
        "triu",
        "unbind",
        "unfold",
        "unsqueeze",
        "upsample_bilinear2d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "view",
        "view_as_real",
        "where",
        "zero",
        "zeros",
        "zeros_like",
    ]
)


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts MACs of everything run inside it, by operation; ``unknown`` names operations in neither table."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.removesuffix("_")  # an operation in place costs what its twin does
        if name in HANDLES:
            self.macs[name] += HANDLES[name](args, out[0] if isinstance(out, tuple) else out)
        elif name not in ZEROS:
            self.unknown[name] += 1
        return out


def count_macs(model: nn.Module, input_size: int) -> int:
    """MACs of one image, from one forward pass in eval mode; the model is left as it was.

    Args:
        model: takes ``(1, 3, S, S)``, or as many channels as its ``input_channels`` says, and what its
            ``example_inputs`` gives.
        input_size: S in pixels.

    Raises:
        NotImplementedError: naming operations that the counter does not know.
    """
    return count_macs_by_module(model, input_size, ())[""]


def count_macs_by_module(model: nn.Module, input_size: int, names: Sequence[str]) -> dict[str, int]:
    """As :func:`count_macs`, for the model (under ``""``) and for some of its submodules by their paths."""
    image, more = blank_input(model, input_size)
    modes = {module: module.training for module in model.modules()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    # The fast path hides nn.MultiheadAttention's products inside one operation.
    torch.backends.mha.set_fastpath_enabled(False)
    found = dict.fromkeys(names, 0)
    hooks = []
    try:
        with torch.no_grad(), MacCounter() as counter:
            for name in names:
                hooks += _count_inside(model.get_submodule(name), name, counter, found)
            model(image, **more)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    if counter.unknown:
        unknown = ", ".join(sorted(counter.unknown))
        raise NotImplementedError(f"unknown operations: {unknown}; add each to HANDLES or ZEROS in {__name__}")
    return found | {"": sum(counter.macs.values())}


def blank_input(model: nn.Module, input_size: int) -> tuple[Tensor, dict[str, Tensor]]:
    """An image of zeros, ``(1, 3, S, S)`` or as many channels as the model's ``input_channels`` says, and what its
    ``example_inputs`` gives besides, if it has any; where its parameters are and of their kind."""
    parameter = next(model.parameters(), torch.empty(0))
    channels = getattr(model, "input_channels", 3)
    image = torch.zeros(1, channels, input_size, input_size, device=parameter.device, dtype=parameter.dtype)
    examples: Callable[[int], dict[str, Tensor]] = getattr(model, "example_inputs", lambda count: {})
    return image, {name: value.to(image) for name, value in examples(1).items()}


def _count_inside(module: nn.Module, name: str, counter: MacCounter, found: dict[str, int]) -> list[RemovableHandle]:
    """Adds what ``counter`` sees between the module's beginning and end."""

    def begin(module: nn.Module, given: object) -> None:
        found[name] -= sum(counter.macs.values())

    def end(module: nn.Module, given: object, answer: object) -> None:
        found[name] += sum(counter.macs.values())

    return [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]


def count_params(model: nn.Module) -> int:
    """Number of parameters; buffers such as BatchNorm statistics are not among them."""
    return sum(parameter.numel() for parameter in model.parameters())
