"""Search spaces and architectures: frozen descriptions in plain numbers, without torch.

A :class:`SearchSpace` says how wide everything is at most; people write it as YAML. An :class:`Architecture`
says what a search kept of a space, block by block; it is JSON and holds its space, so that one file is enough
to build the network.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

FORMAT = 1  # of arch.json
Size = tuple[int, int]  # height and width in pixels
STREAM, CHANNEL = "stream", "channel"  # how the units of a stream are called beside operators and their groups
Settings = Mapping[str, Any]


class InputError(ValueError):
    """Something that a person gave us is wrong: a file, a folder, a value. Verbs print it and exit with status 2."""


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, and renames it over ``path`` once the block ends well.

    Whatever stood at ``path`` stays whole until then, also when the disk fills up or the process is killed.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk does not say which file
        raise


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes an object as JSON.

    Raises:
        ValueError: where a number is not finite, which JSON does not know.
    """
    with write_aside(path) as aside:
        aside.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: where the file is absent or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


@dataclass(frozen=True)
class Stage:
    """One stage of the multi-branch network: a fusion module, then a parallel module.

    ``channels`` and ``blocks`` (search blocks in the parallel module) have one entry a branch, the highest
    resolution first. A stage has as many branches as the one before, or one more. ``stride`` is that of the fusion
    module's block, 1, or 2 where there is one branch.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    stride: int = 1


@dataclass(frozen=True)
class BlockSpec:
    """One search block of a space, with everything that follows from its place.

    ``source`` and ``target`` are the streams that it reads and writes, ``in_channels`` and ``out_channels`` their full widths;
    ``stride`` is 1 or 2; ``reduction`` is how many times smaller than the image the block's input is;
    ``identity`` is whether its residual passes the input on as it is; ``operators`` maps names of ``gazenas.ops.OPS`` to
    their settings.
    """

    name: str
    source: str
    target: str
    in_channels: int
    out_channels: int
    stride: int
    reduction: int
    identity: bool
    operators: Settings


@dataclass(frozen=True)
class SearchSpace:
    """The widest architecture.

    Attributes:
        name: also the name of the YAML file.
        input_size: side of the input images in pixels, divisible by the lowest resolution's reduction.
        stem: channels of each stride-2 convolution, two in the paper.
        stages: at least one; the first has one branch.
        squeeze: reduction inside squeeze-and-excite, 0 for none.
        fusion: operators of the blocks in fusion modules, each with its settings.
        parallel: the same for parallel modules, one entry a branch.
        head: ``kind`` (a name of ``gazenas.models.heads.HEADS``) and the head's own settings.
        residual_kernel: side of the convolution that stands for a residual between two streams, 1 in the paper.
        rectify: whether every block of a parallel module ends in a ReLU; in the paper none does.
        least_stream_width: channels that every stream keeps at least, where its channels are units of the search; 0 keeps
            all streams as wide as ``stem`` and ``stages`` say, as the paper does.
        channel_multiple: the number of channels that leave together.
        window: the part of the image that the network reads: first row and the one after its last, first column and the one
            after its last, in pixels; empty for the whole image.
    """

    name: str
    input_size: int
    stem: tuple[int, ...]
    stages: tuple[Stage, ...]
    squeeze: int
    fusion: Settings
    parallel: tuple[Settings, ...]
    head: Settings
    residual_kernel: int = 1
    rectify: bool = False
    least_stream_width: int = 0
    channel_multiple: int = 1
    window: tuple[int, ...] = ()

    @property
    def branches(self) -> int:
        """How many resolutions the network ends with."""
        return len(self.stages[-1].channels)

    def reduction(self, stage: int) -> int:
        """How many times smaller than the image the highest resolution of a stage is (from 0; -1 for the stem)."""
        return prod(each.stride for each in self.stages[: stage + 1]) << len(self.stem)

    def _lowest_reduction(self) -> int:
        return self.reduction(len(self.stages)) << (max(len(stage.channels) for stage in self.stages) - 1)

    def size_at(self, reduction: int) -> Size:
        """Height and width of a map that is ``reduction`` times smaller than what the network reads."""
        top, bottom, left, right = self.window or (0, self.input_size, 0, self.input_size)
        return (bottom - top) // reduction, (right - left) // reduction

    def sizes(self) -> list[Size]:
        """Heights and widths of the maps that the head gets, the highest resolution first."""
        top = self.reduction(len(self.stages) - 1)
        return [self.size_at(top << branch) for branch in range(self.branches)]

    def streams(self) -> dict[str, int]:
        """Full width of every stream, the maps that blocks read and write: one a convolution of the stem, one a stage and branch."""
        widths = {_stem_stream(number): channels for number, channels in enumerate(self.stem)}
        for number, stage in enumerate(self.stages):
            widths |= {_stream(number, branch): channels for branch, channels in enumerate(stage.channels)}
        return widths

    def reductions(self) -> dict[str, int]:
        """How many times smaller than what the network reads the map of every stream is."""
        found = {_stem_stream(number): 2 << number for number in range(len(self.stem))}
        for number, stage in enumerate(self.stages):
            found |= {
                _stream(number, branch): self.reduction(number) << branch for branch in range(len(stage.channels))
            }
        return found

    def searched_streams(self) -> dict[str, int]:
        """Those whose channels are units of the search: all or none."""
        return self.streams() if self.least_stream_width else {}

    def head_streams(self) -> list[str]:
        """The streams that the head reads, the highest resolution first."""
        return [_stream(len(self.stages) - 1, branch) for branch in range(self.branches)]

    def blocks(self) -> list[BlockSpec]:
        """All search blocks in the order in which the network runs them."""
        return [
            block
            for number in range(len(self.stages))
            for block in self.fusion_blocks(number) + self.parallel_blocks(number)
        ]

    def fusion_blocks(self, stage: int) -> list[BlockSpec]:
        """Blocks of the fusion module of stage ``stage`` (from 0): neighbours joined, then the new lowest branch."""
        before = self.stages[stage - 1].channels if stage else self.stem[-1:]
        sources = [
            _stream(stage - 1, branch) if stage else _stem_stream(len(self.stem) - 1) for branch in range(len(before))
        ]
        now = self.stages[stage].channels
        specs = []
        for to in range(min(len(before), len(now))):
            for source in range(max(0, to - 1), min(len(before), to + 2)):
                name = f"stage{stage + 1}.fusion.branch{to + 1}.from{source + 1}"
                stride = 2 if source < to else self.stages[stage].stride
                reduction = self.reduction(stage - 1) << source
                # Two streams whose channels are searched apart cannot be one and the same map.
                identity = stride == 1 and before[source] == now[to] and not self.least_stream_width
                specs.append(
                    BlockSpec(
                        name,
                        sources[source],
                        _stream(stage, to),
                        before[source],
                        now[to],
                        stride,
                        reduction,
                        identity,
                        self.fusion,
                    )
                )
        if len(now) > len(before):
            lowest = len(before)
            name = f"stage{stage + 1}.fusion.branch{lowest + 1}.new"
            reduction = self.reduction(stage) << (lowest - 1)
            streams = _stream(stage, lowest - 1), _stream(stage, lowest)
            specs.append(BlockSpec(name, *streams, now[lowest - 1], now[lowest], 2, reduction, False, self.fusion))
        return specs

    def parallel_blocks(self, stage: int) -> list[BlockSpec]:
        """Blocks of the parallel module of stage ``stage`` (from 0), branch by branch."""
        now = self.stages[stage]
        return [
            BlockSpec(
                f"stage{stage + 1}.parallel.branch{branch + 1}.block{index + 1}",
                _stream(stage, branch),
                _stream(stage, branch),
                channels,
                channels,
                1,
                self.reduction(stage) << branch,
                True,
                self.parallel[branch],
            )
            for branch, (channels, count) in enumerate(zip(now.channels, now.blocks, strict=True))
            for index in range(count)
        ]

    def resized(self, input_size: int) -> SearchSpace:
        """The same space for images of another size; its window is the part of them that comes nearest to the same.

        Raises:
            InputError: where the lowest resolution would not come out whole.
        """
        window: tuple[int, ...] = ()
        for first, last in zip(self.window[::2], self.window[1::2], strict=True):
            scale, whole = input_size / self.input_size, self._lowest_reduction()
            side = min(max(1, round((last - first) * scale / whole)) * whole, input_size)
            begin = min(max(0, round((first + last) * scale / 2 - side / 2)), input_size - side)
            window += (begin, begin + side)
        space = replace(self, input_size=input_size, window=window)
        _check_space(space, f"search space {self.name!r}")
        return space

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, as they stand in YAML and JSON."""
        values: dict[str, Any] = _plain(
            {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        )
        for stage in values["stages"]:
            if stage["stride"] == 1:
                del stage["stride"]
        return values

    @staticmethod
    def from_dict(values: object, where: str) -> SearchSpace:
        """Reads what :meth:`to_dict` gives.

        Args:
            values: parsed YAML or JSON.
            where: file or key, for messages.

        Raises:
            InputError: naming every unknown, missing or wrong key at once.
        """
        if not isinstance(values, dict):
            raise InputError(
                f"{where}: expected a mapping with the keys of a search space, found {type(values).__name__}"
            )
        names = [f.name for f in fields(SearchSpace)]
        faults = [f"unknown key {key!r} (known: {', '.join(names)})" for key in values if key not in names]
        faults += [
            f"missing key {f.name!r}" for f in fields(SearchSpace) if f.default is MISSING and f.name not in values
        ]
        if faults:
            raise InputError(f"{where}: " + "; ".join(faults))
        return _parse_space(values, where)


@dataclass(frozen=True)
class Architecture:
    """What is kept of a space: surviving channels of each kernel and surviving tokens, block by block.

    ``kept`` maps block names to operator names to unit groups to counts, such as
    ``{"stage1.parallel.branch1.block1": {"mixconv": {"3": 40}, "tokens": {"token": 6}}}``. Where a space searches streams,
    they stand beside the blocks: ``{"stage1.branch1": {"stream": {"channel": 24}}}``.
    """

    space: SearchSpace
    kept: Mapping[str, Mapping[str, Mapping[str, int]]]

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
        """The same blocks with other counts: ``count`` takes block, operator, unit group and the present number of units."""
        kept = {
            block: {
                operator: {group: count(block, operator, group, units) for group, units in groups.items()}
                for operator, groups in operators.items()
            }
            for block, operators in self.kept.items()
        }
        return Architecture(self.space, kept)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in ``arch.json``."""
        return {"format": FORMAT, "space": self.space.to_dict(), "kept": _plain(self.kept)}

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
        if not isinstance(values, dict) or set(values) != {"format", "space", "kept"}:
            found = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise InputError(f"{where}: expected the keys format, space and kept, found {found}")
        if values["format"] != FORMAT:
            raise InputError(
                f"{where}: format: expected {FORMAT}, found {values['format']!r}; a newer gazenas may read it"
            )
        space = SearchSpace.from_dict(values["space"], f"{where}: space")
        return Architecture(space, _parse_kept(values["kept"], space, where))


def _stem_stream(convolution: int) -> str:
    return f"stem{convolution + 1}"


def _stream(stage: int, branch: int) -> str:
    return f"stage{stage + 1}.branch{branch + 1}"


def _plain(value: Any) -> Any:
    """``value`` with mappings as dictionaries, tuples as lists, dataclasses as dictionaries."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return _plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value


def _frozen(value: Any) -> Any:
    """A copy of ``value`` with lists as tuples; dictionaries stay such, since networks that hold them are pickled."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


@dataclass
class _Faults:
    """Collects everything that is wrong with a file, so that it can be said at once."""

    where: str
    found: list[str] = field(default_factory=list)

    def expect(self, good: bool, key: str, expected: str, value: object) -> bool:
        if not good:
            self.found.append(f"{key}: expected {expected}, found {value!r}")
        return good

    def stop(self) -> None:
        if self.found:
            raise InputError(f"{self.where}: " + "; ".join(self.found))


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _counts(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(_is_count(item) for item in value)


def _parse_space(values: dict[str, Any], where: str) -> SearchSpace:
    faults = _Faults(where)
    faults.expect(isinstance(values["name"], str) and values["name"] != "", "name", "a name", values["name"])
    faults.expect(_is_count(values["input_size"]), "input_size", "a number of pixels", values["input_size"])
    faults.expect(_counts(values["stem"]), "stem", "channel counts, one a stride-2 convolution", values["stem"])
    faults.expect(_is_count(values["squeeze"], 0), "squeeze", "a whole number, 0 for none", values["squeeze"])
    stages = values["stages"]
    if faults.expect(isinstance(stages, list) and len(stages) > 0, "stages", "a list of stages", stages):
        for number, stage in enumerate(stages, 1):
            good = (
                isinstance(stage, dict)
                and {"channels", "blocks"} <= set(stage) <= {"channels", "blocks", "stride"}
                and _counts(stage["channels"])
                and isinstance(stage["blocks"], list)
                and all(_is_count(count, 0) for count in stage["blocks"])
            )
            good = good and len(stage["channels"]) == len(stage["blocks"])
            good = good and (stage.get("stride", 1) in (1, 2) if len(stage["channels"]) == 1 else "stride" not in stage)
            faults.expect(
                good,
                f"stages[{number}]",
                "channels and blocks, as many entries each as the stage has branches, and stride 1 or 2 with one branch",
                stage,
            )
    faults.expect(_is_operators(values["fusion"]), "fusion", "operators with their settings", values["fusion"])
    parallel = values["parallel"]
    good = isinstance(parallel, list) and all(_is_operators(entry) for entry in parallel)
    faults.expect(good, "parallel", "a list with one entry of operators and settings a branch", parallel)
    head = values["head"]
    faults.expect(
        isinstance(head, dict) and isinstance(head.get("kind"), str), "head", "a mapping with the key kind", head
    )
    options = _read_options(values, faults)
    faults.stop()
    space = SearchSpace(
        name=values["name"],
        input_size=values["input_size"],
        stem=tuple(values["stem"]),
        stages=tuple(
            Stage(tuple(stage["channels"]), tuple(stage["blocks"]), stage.get("stride", 1)) for stage in stages
        ),
        squeeze=values["squeeze"],
        fusion=_frozen(values["fusion"]),
        parallel=_frozen(parallel),
        head=_frozen(head),
        **options,
    )
    _check_space(space, where)
    return space


def _read_options(values: dict[str, Any], faults: _Faults) -> dict[str, Any]:
    """The fields that a space may leave out, checked."""
    kernel = values.get("residual_kernel", 1)
    faults.expect(_is_count(kernel) and kernel % 2 == 1, "residual_kernel", "an odd number of pixels", kernel)
    rectify = values.get("rectify", False)
    faults.expect(isinstance(rectify, bool), "rectify", "true or false", rectify)
    least, multiple = values.get("least_stream_width", 0), values.get("channel_multiple", 1)
    faults.expect(_is_count(least, 0), "least_stream_width", "a number of channels, 0 to search no stream", least)
    faults.expect(_is_count(multiple), "channel_multiple", "a positive number of channels", multiple)
    window = values.get("window", [])
    good = isinstance(window, list) and (
        not window or (len(window) == 4 and all(_is_count(edge, 0) for edge in window))
    )
    faults.expect(good, "window", "rows and columns: [top, bottom, left, right] in pixels", window)
    return {
        "residual_kernel": kernel,
        "rectify": rectify,
        "least_stream_width": least,
        "channel_multiple": multiple,
        "window": tuple(window) if good else (),
    }


def _is_operators(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, dict) for k, v in value.items())


def _check_space(space: SearchSpace, where: str) -> None:
    """What must hold between the fields of a space."""
    faults = _Faults(where)
    branches = [len(stage.channels) for stage in space.stages]
    steps = [after - before for before, after in pairwise(branches)]
    good = branches[0] == 1 and all(step in (0, 1) for step in steps)
    faults.expect(good, "stages", "1 branch first, then at most one more a stage", branches)
    faults.expect(
        len(space.parallel) >= max(branches), "parallel", f"{max(branches)} entries, one a branch", len(space.parallel)
    )
    lowest = space._lowest_reduction()
    faults.expect(space.input_size % lowest == 0, "input_size", f"a multiple of {lowest}", space.input_size)
    if space.window:
        top, bottom, left, right = space.window
        inside = 0 <= top < bottom <= space.input_size and 0 <= left < right <= space.input_size
        whole = (bottom - top) % lowest == 0 and (right - left) % lowest == 0
        expected = f"[top, bottom, left, right] inside the image, a multiple of {lowest} high and wide"
        faults.expect(inside and whole, "window", expected, list(space.window))
    thin = {name: width for name, width in space.streams().items() if width < space.least_stream_width}
    faults.expect(
        not thin, "least_stream_width", f"at most the width of every stream ({thin})", space.least_stream_width
    )
    faults.stop()


def _parse_kept(values: object, space: SearchSpace, where: str) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    faults = _Faults(f"{where}: kept")
    streams = space.searched_streams()
    expected = {name: [STREAM] for name in streams} | {spec.name: sorted(spec.operators) for spec in space.blocks()}
    if not isinstance(values, dict) or set(values) != set(expected):
        known = set(values) if isinstance(values, dict) else set()
        missing, extra = sorted(set(expected) - known), sorted(known - set(expected))
        raise InputError(
            f"{where}: kept: expected the {len(expected)} blocks of its space, missing {missing[:3]}, unknown {extra[:3]}"
        )
    for name, operators in values.items():
        good = isinstance(operators, dict) and sorted(operators) == expected[name]
        good = good and all(
            isinstance(groups, dict) and all(_is_count(n, 0) for n in groups.values()) for groups in operators.values()
        )
        if faults.expect(good, name, f"counts for {expected[name]}", operators) and name in streams:
            width, least = operators[STREAM].get(CHANNEL, 0), space.least_stream_width
            between = least <= width <= streams[name] and set(operators[STREAM]) == {CHANNEL}
            faults.expect(between, name, f"{CHANNEL}: {least} to {streams[name]} channels", operators[STREAM])
    faults.stop()
    frozen: Mapping[str, Mapping[str, Mapping[str, int]]] = _frozen(values)
    return frozen
