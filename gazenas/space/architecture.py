"""An architecture: what a search kept of a space, block by block. ``arch.json`` holds its space too, so one file
builds the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gazenas.errors import InputError
from gazenas.files import read_json, write_json
from gazenas.space.parsing import Faults, frozen, is_count, parse_space
from gazenas.space.search_space import CHANNEL, STREAM, SearchSpace, plain

FORMAT = 1  # of arch.json
GAZE_TASK = "gaze"  # the task of every file that names none


@dataclass(frozen=True)
class Architecture:
    """What is kept of a space: surviving channels of each kernel and surviving tokens, block by block.

    ``kept`` maps block names to operator names to unit groups to counts, such as
    ``{"stage1.parallel.branch1.block1": {"mixconv": {"3": 40}, "tokens": {"token": 6}}}``. Where a space searches
    streams,
    they stand beside the blocks: ``{"stage1.branch1": {"stream": {"channel": 24}}}``. ``task`` is what the network
    predicts, written only where it is not gaze.
    """

    space: SearchSpace
    kept: Mapping[str, Mapping[str, Mapping[str, int]]]
    task: str = GAZE_TASK

    @property
    def input_size(self) -> int:
        """Side of the input images in pixels."""
        return self.space.input_size

    def stream_widths(self) -> dict[str, int]:
        """Channels of every stream, searched or not."""
        return {
            name: self.kept[name][STREAM][CHANNEL] if name in self.kept else full
            for name, full in self.space.streams().items()
        }

    def with_counts(self, count: Callable[[str, str, str, int], int]) -> Architecture:
        """The same blocks with other counts: ``count`` takes block, operator, unit group and the present number of
        units."""
        kept = {
            block: {
                operator: {group: count(block, operator, group, units) for group, units in groups.items()}
                for operator, groups in operators.items()
            }
            for block, operators in self.kept.items()
        }
        return Architecture(self.space, kept, self.task)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in ``arch.json``."""
        values = {"format": FORMAT, "space": self.space.to_dict(), "kept": plain(self.kept)}
        return values | ({"task": self.task} if self.task != GAZE_TASK else {})

    def fingerprint(self) -> str:
        """Hash of the structure: equal for equal networks, whatever the space is called."""
        values = self.to_dict()
        del values["space"]["name"]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Writes ``arch.json``, beside its target first."""
        write_json(Path(path), self.to_dict())

    @staticmethod
    def load(path: str | Path) -> Architecture:
        """Reads ``arch.json``.

        Raises:
            InputError: where the file is absent, not JSON, of another format, or names what its space lacks.
        """
        return Architecture.from_dict(read_json(Path(path)), str(path))

    @staticmethod
    def from_dict(values: object, where: str) -> Architecture:
        """Reads what :meth:`to_dict` gives.

        Raises:
            InputError: as :meth:`load`.
        """
        if not isinstance(values, dict) or set(values) - {"task"} != {"format", "space", "kept"}:
            found = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise InputError(f"{where}: expected the keys format, space and kept, found {found}")
        if values["format"] != FORMAT:
            raise InputError(
                f"{where}: format: expected {FORMAT}, found {values['format']!r}; a newer gazenas may read it"
            )
        space, task = parse_space(values["space"], f"{where}: space"), values.get("task", GAZE_TASK)
        if not isinstance(task, str):
            raise InputError(f"{where}: task: expected a name, found {task!r}")
        return Architecture(space, _parse_kept(values["kept"], space, where), task)


def _parse_kept(values: object, space: SearchSpace, where: str) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    faults = Faults(f"{where}: kept")
    streams = space.searched_streams()
    expected = {name: [STREAM] for name in streams} | {spec.name: sorted(spec.operators) for spec in space.blocks()}
    if not isinstance(values, dict) or set(values) != set(expected):
        known = set(values) if isinstance(values, dict) else set()
        missing, extra = sorted(set(expected) - known), sorted(known - set(expected))
        raise InputError(
            f"{where}: kept: expected the {len(expected)} blocks of its space, missing {missing[:3]}, unknown "
            f"{extra[:3]}"
        )
    for name, operators in values.items():
        good = isinstance(operators, dict) and sorted(operators) == expected[name]
        good = good and all(
            isinstance(groups, dict) and all(is_count(n, 0) for n in groups.values()) for groups in operators.values()
        )
        if faults.expect(good, name, f"counts for {expected[name]}", operators) and name in streams:
            width, least = operators[STREAM].get(CHANNEL, 0), space.least_stream_width
            between = least <= width <= streams[name] and set(operators[STREAM]) == {CHANNEL}
            faults.expect(between, name, f"{CHANNEL}: {least} to {streams[name]} channels", operators[STREAM])
    faults.stop()
    kept: Mapping[str, Mapping[str, Mapping[str, int]]] = frozen(values)
    return kept
