"""Which channels of a network must leave together, found by watching the operations of one forward pass.

A convolution or linear layer makes new channels; BatchNorms, activations, poolings and depthwise convolutions hand them
on; a sum or product couples the channels of its sides; a concatenation puts them beside one another; flattening gives
each to as many inputs of a linear layer as its map has pixels. Channels that come to any other operation stay, and so
do the network's outputs: what is not understood is never cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gazenas.counting import blank_input

Ids = NDArray[np.int64]
# Operations that hand channels on one by one, whatever they do to pixels.
CHANNELWISE = frozenset(
    [
        "_adaptive_avg_pool2d",
        "_reshape_alias",
        "_to_copy",
        "_unsafe_view",
        "abs",
        "adaptive_avg_pool2d",
        "adaptive_max_pool2d",
        "alias",
        "amax",
        "avg_pool2d",
        "clamp",
        "clamp_min",
        "clone",
        "constant_pad_nd",
        "contiguous",
        "detach",
        "dropout",
        "elu",
        "gelu",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "max_pool2d",
        "max_pool2d_with_indices",
        "mean",
        "mish",
        "mkldnn_max_pool2d",
        "native_dropout",
        "neg",
        "relu",
        "relu6",
        "reshape",
        "sigmoid",
        "silu",
        "softplus",
        "square",
        "sum",
        "tanh",
        "upsample_bilinear2d",
        "upsample_nearest2d",
        "view",
    ]
)
NORMS = frozenset(
    [
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_functional",
        "_native_batch_norm_legit_no_training",
        "batch_norm",
        "cudnn_batch_norm",
        "native_batch_norm",
    ]
)
COUPLING = frozenset(["add", "sub", "mul", "div", "maximum", "minimum"])


@dataclass(frozen=True)
class CoupledLayer:
    """A layer whose channels are known.

    Attributes:
        name: its path.
        kind: ``conv``, ``depthwise``, ``linear`` or ``norm``.
        into, out: class of each input and of each output; ``into`` is ``out`` for a norm and a depthwise convolution.
        pair_macs: MACs of one input with one output, or of one channel of a depthwise convolution.
        pair_params: parameters of the same.
        out_params: parameters of one output besides: its bias, or scale and shift of a norm.
    """

    name: str
    kind: str
    into: Ids
    out: Ids
    pair_macs: int
    pair_params: int
    out_params: int

    @property
    def paired(self) -> bool:
        """Whether every input meets every output."""
        return self.kind in ("conv", "linear")


@dataclass(frozen=True)
class Coupling:
    """Channels of a network by class.

    Attributes:
        layers: those whose channels are known, in the order in which they run.
        fixed: by class, whether its channels stay.
        stopped: how many channels came to each operation that is not understood, by its name.
        idle: paths of convolutions, linear layers and BatchNorms that did not run, such as those of training alone.
    """

    layers: list[CoupledLayer]
    fixed: NDArray[np.bool_]
    stopped: Counter[str]
    idle: list[str]


@torch.no_grad()
def couple(network: nn.Module, input_size: int) -> Coupling:
    """Watches one image of ``(1, 3, S, S)`` pass through a network in eval mode, which is left as it was."""
    modes = {module: module.training for module in network.modules()}
    image, more = blank_input(network, input_size)
    network.eval()
    try:
        with _Watcher(network) as watcher:
            answer = network(image, **more)
    finally:
        for module, mode in modes.items():
            module.training = mode
    watcher.fix(watcher.known(answer), "output")
    seen: Coupling = watcher.coupling()
    return seen


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives channels numbers as they appear, and notes which turn out to be one class."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.owners: dict[int, tuple[str, Any]] = {}
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d) and module.weight is not None:
                self.owners[module.weight.untyped_storage().data_ptr()] = (name, module)
        self.parent: list[int] = []
        self.fixed_ids: set[int] = set()
        self.stopped: Counter[str] = Counter()
        self.ids: dict[int, Ids] = {}  # of the second dimension, by the identity of a tensor
        self.alive: list[Tensor] = []  # so that no identity is used twice
        self.layers: dict[str, CoupledLayer] = {}
        self.ran: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.removesuffix("_")
        first = out[0] if isinstance(out, tuple | list) else out
        if not isinstance(first, Tensor):
            return out
        self.alive.append(first)
        found = self._handler(name)(name, args, first)
        if found is not None:
            self.ids[id(first)] = found
        else:
            self.ids.pop(id(first), None)  # an operation in place gives the tensor that it was given
        return out

    def _handler(self, name: str) -> Callable[[str, tuple[Any, ...], Tensor], Ids | None]:
        if name in ("convolution", "addmm", "mm"):
            return self._layer
        if name in NORMS:
            return self._norm
        if name in COUPLING:
            return self._coupled
        if name in CHANNELWISE:
            return self._handed_on
        return self._cat if name == "cat" else self._stop

    # What operations do.

    def _layer(self, name: str, args: tuple[Any, ...], out: Tensor) -> Ids | None:
        """A convolution or a linear layer."""
        given, weight = args[1:3] if name == "addmm" else args[:2]
        owner = self._owner(weight)
        plain = name == "convolution" and not args[6] and out.dim() == 4
        if owner is None or not (plain or (name != "convolution" and given.dim() == 2)):
            return self._stop(name, args, out)
        path, module = owner
        into, bias = self._ids_of(given), int(module.bias is not None)
        kernel, pixels = int(prod(module.weight.shape[2:])), out.shape[0] * int(prod(out.shape[2:]))
        if name != "convolution":
            pair = ("linear", self._fresh(out.shape[1]), out.shape[0], 1)
        elif module.groups == module.in_channels == module.out_channels:
            pair = ("depthwise", into, kernel * pixels, kernel)
        elif module.groups == 1:
            pair = ("conv", self._fresh(out.shape[1]), kernel * pixels, kernel)
        else:
            return self._stop("grouped convolution", args, out)
        kind, made, macs, params = pair
        return self._note(CoupledLayer(path, kind, into, made, macs, params, bias))

    def _norm(self, name: str, args: tuple[Any, ...], out: Tensor) -> Ids | None:
        given, weight = args[:2]
        owner = self._owner(weight)
        if owner is None or id(given) not in self.ids:
            return self._stop(name, args, out)
        ids = self._ids_of(given)
        return self._note(CoupledLayer(owner[0], "norm", ids, ids, 0, 0, 2))

    def _note(self, layer: CoupledLayer) -> Ids:
        """Remembers a layer; one that runs again has the channels that it had."""
        before = self.layers.setdefault(layer.name, layer)
        if before is not layer:
            self._join(before.into, layer.into)
            self._join(before.out, layer.out)
            again = CoupledLayer(
                *(before.name, before.kind, before.into, before.out),
                before.pair_macs + layer.pair_macs,
                before.pair_params,
                before.out_params,
            )
            self.layers[layer.name] = again
        return layer.out

    def _coupled(self, name: str, args: tuple[Any, ...], out: Tensor) -> Ids | None:
        sides = [side for side in args[:2] if isinstance(side, Tensor) and side.dim() > 0]
        known = [self.known(side) for side in sides]
        if all(ids is None for ids in known):
            return None
        alike = all(side.dim() == out.dim() and side.dim() > 1 for side in sides)
        if not alike or any(ids is None for ids in known):
            self._stop(f"{name} of a constant", args, out)
            return next(ids for ids in known if ids is not None) if alike and known[0] is not None else None
        wide = [ids for ids in known if ids is not None and len(ids) == out.shape[1]]
        for ids in known:
            if ids is not None and len(ids) != out.shape[1]:
                self.fix(ids, name)  # one channel for all
        for ids in wide[1:]:
            self._join(wide[0], ids)
        return wide[0] if wide else None

    def _handed_on(self, name: str, args: tuple[Any, ...], out: Tensor) -> Ids | None:
        ids = self.known(args[0])
        if ids is None:
            return None
        given, flat = args[0], out.dim() == 2 and int(prod(args[0].shape[1:])) == out.shape[1]
        moves = name in ("view", "_unsafe_view", "reshape", "_reshape_alias")
        if out.dim() < 2 or out.shape[0] != given.shape[0]:
            return self._stop(name, args, out)
        if moves and flat:
            return np.repeat(ids, int(prod(given.shape[2:])))
        whole = out.shape[1] == given.shape[1]
        same_pixels = not moves or int(prod(out.shape[2:])) == int(prod(given.shape[2:]))
        reduces_channels = name in ("mean", "amax", "sum") and not _spares_channels(args, given.dim())
        return ids if whole and same_pixels and not reduces_channels else self._stop(name, args, out)

    def _cat(self, name: str, args: tuple[Any, ...], out: Tensor) -> Ids | None:
        parts = list(args[0])
        if len(args) < 2 or args[1] % out.dim() != 1:
            return self._stop(name, (tuple(parts),), out)
        return np.concatenate([self._ids_of(part) for part in parts])

    def _stop(self, name: str, args: tuple[Any, ...], out: Tensor) -> Ids | None:
        """Channels that come to an operation that is not understood stay, and nothing is known of its result."""
        for each in args:
            for tensor in each if isinstance(each, tuple | list) else (each,):
                if isinstance(tensor, Tensor):
                    self.fix(self.known(tensor), name)
        return None

    # Channels and classes.

    def _owner(self, weight: Tensor | None) -> tuple[str, Any] | None:
        """The layer that a weight is of, or a view of it."""
        owner = None if weight is None else self.owners.get(weight.untyped_storage().data_ptr())
        if owner is not None:
            self.ran.add(owner[0])
        return owner

    def known(self, tensor: Tensor) -> Ids | None:
        """The channels of a tensor, or None."""
        return self.ids.get(id(tensor))

    def _ids_of(self, tensor: Tensor) -> Ids:
        """The same; those of an unknown tensor are new, and stay."""
        ids = self.known(tensor)
        if ids is None:
            ids = self.ids[id(tensor)] = self._fresh(tensor.shape[1])
            self.alive.append(tensor)
            self.fixed_ids.update(ids.tolist())
        return ids

    def _fresh(self, count: int) -> Ids:
        begin = len(self.parent)
        self.parent.extend(range(begin, begin + count))
        return np.arange(begin, begin + count)

    def fix(self, ids: Ids | None, name: str) -> None:
        """These stay."""
        if ids is not None:
            self.fixed_ids.update(ids.tolist())
            self.stopped[name] += len(ids)

    def _root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def _join(self, some: Ids, others: Ids) -> None:
        for one, other in zip(some.tolist(), others.tolist(), strict=True):
            self.parent[self._root(other)] = self._root(one)

    def coupling(self) -> Coupling:
        """What was seen, classes numbered from 0."""
        roots = np.array([self._root(number) for number in range(len(self.parent))], np.int64)
        classes = np.unique(roots, return_inverse=True)[1]
        fixed = np.zeros(int(classes.max(initial=-1)) + 1, np.bool_)
        fixed[classes[sorted(self.fixed_ids)]] = True
        layers = [
            CoupledLayer(
                *(layer.name, layer.kind, classes[layer.into], classes[layer.out]),
                *(layer.pair_macs, layer.pair_params, layer.out_params),
            )
            for layer in self.layers.values()
        ]
        idle = [name for name, _ in self.owners.values() if name not in self.ran]
        return Coupling(layers, fixed, self.stopped, idle)


def _spares_channels(args: tuple[Any, ...], dims: int) -> bool:
    """Whether a reduction leaves the first two dimensions alone."""
    over = args[1] if len(args) > 1 else None
    chosen = [over] if isinstance(over, int) else list(over or ())
    return bool(chosen) and all(dim % dims > 1 for dim in chosen)
