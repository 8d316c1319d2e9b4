"""What every published comparator looks like from outside: a module that knows its name, its input size and its loss."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gazenas.architecture import FORMAT, InputError, write_json

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class BaselineSpec:
    """The ``arch.json`` of a comparator: a name of ``BASELINES`` and the side of its input images."""

    baseline: str
    input_size: int

    def fingerprint(self) -> str:
        """A hash of both."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Writes ``arch.json``, beside its target first."""
        write_json(Path(path), {"format": FORMAT, **asdict(self)})

    @staticmethod
    def from_dict(values: dict[str, Any], where: str) -> BaselineSpec:
        """Reads what :meth:`save` writes.

        Raises:
            InputError: where a key is missing, unknown or of another type.
        """
        name, size = values.get("baseline"), values.get("input_size")
        if set(values) != {"format", "baseline", "input_size"} or not isinstance(name, str) or type(size) is not int:
            raise InputError(f"{where}: expected the keys format, baseline (a name) and input_size, found {values}")
        return BaselineSpec(name, size)


class Baseline(nn.Module):
    """A published gaze network.

    Args:
        spec: its name and input size.
        body: ``(N, 3, S, S)`` images to ``(N, 2)`` pitch and yaw in radians; where it has a loss of its own, in training mode to
            a tuple that begins with the gaze.
        objective: parts of the loss from the body's output in training mode, images and true gaze; the L1 loss without it.
    """

    def __init__(
        self,
        *,
        spec: BaselineSpec,
        body: nn.Module,
        objective: Callable[[Any, Tensor, Tensor], Losses] | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.body = spec, body
        self.objective = objective

    @property
    def input_size(self) -> int:
        """Side of the input images in pixels."""
        return self.spec.input_size

    def forward(self, images: Tensor) -> Any:
        """``(N, 3, S, S)`` to ``(N, 2)`` pitch and yaw in radians; in training mode to what ``objective`` takes."""
        return self.body(images)

    def architecture(self) -> BaselineSpec:
        """Its name and input size."""
        return self.spec
