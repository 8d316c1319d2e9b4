"""From YAML and JSON to search spaces, with every fault of a file said at once."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from gazenas.errors import InputError
from gazenas.space.search_space import SearchSpace, StageSpec


@dataclass
class Faults:
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


def is_count(value: object, least: int = 1) -> bool:
    """Whether a value is a whole number, no truth value, of at least ``least``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _counts(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(is_count(item) for item in value)


def frozen(value: Any) -> Any:
    """A copy of ``value`` with lists as tuples; dictionaries stay such, since networks that hold them are pickled."""
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def _parsed(values: dict[str, Any], where: str) -> SearchSpace:
    faults = Faults(where)
    faults.expect(isinstance(values["name"], str) and values["name"] != "", "name", "a name", values["name"])
    faults.expect(is_count(values["input_size"]), "input_size", "a number of pixels", values["input_size"])
    faults.expect(_counts(values["stem"]), "stem", "channel counts, one a stride-2 convolution", values["stem"])
    faults.expect(is_count(values["squeeze"], 0), "squeeze", "a whole number, 0 for none", values["squeeze"])
    stages = values["stages"]
    if faults.expect(isinstance(stages, list) and len(stages) > 0, "stages", "a list of stages", stages):
        for number, stage in enumerate(stages, 1):
            good = (
                isinstance(stage, dict)
                and {"channels", "blocks"} <= set(stage) <= {"channels", "blocks", "stride"}
                and _counts(stage["channels"])
                and isinstance(stage["blocks"], list)
                and all(is_count(count, 0) for count in stage["blocks"])
            )
            good = good and len(stage["channels"]) == len(stage["blocks"])
            good = good and (stage.get("stride", 1) in (1, 2) if len(stage["channels"]) == 1 else "stride" not in stage)
            faults.expect(
                good,
                f"stages[{number}]",
                "channels and blocks, as many entries each as the stage has branches, and stride 1 or 2 with one "
                "branch",
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
            StageSpec(tuple(stage["channels"]), tuple(stage["blocks"]), stage.get("stride", 1)) for stage in stages
        ),
        squeeze=values["squeeze"],
        fusion=frozen(values["fusion"]),
        parallel=frozen(parallel),
        head=frozen(head),
        **options,
    )
    check_consistency(space, where)
    return space


def _read_options(values: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """The fields that a space may leave out, checked."""
    kernel = values.get("residual_kernel", 1)
    faults.expect(is_count(kernel) and kernel % 2 == 1, "residual_kernel", "an odd number of pixels", kernel)
    rectify = values.get("rectify", False)
    faults.expect(isinstance(rectify, bool), "rectify", "true or false", rectify)
    least, multiple = values.get("least_stream_width", 0), values.get("channel_multiple", 1)
    faults.expect(is_count(least, 0), "least_stream_width", "a number of channels, 0 to search no stream", least)
    faults.expect(is_count(multiple), "channel_multiple", "a positive number of channels", multiple)
    window = values.get("window", [])
    good = isinstance(window, list) and (not window or (len(window) == 4 and all(is_count(edge, 0) for edge in window)))
    faults.expect(good, "window", "rows and columns: [top, bottom, left, right] in pixels", window)
    activation = values.get("activation", "relu")
    faults.expect(isinstance(activation, str), "activation", "a name", activation)
    return {
        "residual_kernel": kernel,
        "rectify": rectify,
        "least_stream_width": least,
        "channel_multiple": multiple,
        "window": tuple(window) if good else (),
        "activation": activation,
    }


def _is_operators(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, dict) for k, v in value.items())


def check_consistency(space: SearchSpace, where: str) -> None:
    """What must hold between the fields of a space."""
    faults = Faults(where)
    branches = [len(stage.channels) for stage in space.stages]
    steps = [after - before for before, after in pairwise(branches)]
    good = branches[0] == 1 and all(step in (0, 1) for step in steps)
    faults.expect(good, "stages", "1 branch first, then at most one more a stage", branches)
    faults.expect(
        len(space.parallel) >= max(branches), "parallel", f"{max(branches)} entries, one a branch", len(space.parallel)
    )
    lowest = space.lowest_reduction()
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


def parse_space(values: object, where: str) -> SearchSpace:
    """Checks and reads what :meth:`SearchSpace.to_dict` gives.

    Args:
        values: parsed YAML or JSON.
        where: file or key, for messages.

    Raises:
        InputError: naming every unknown, missing or wrong key at once.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected a mapping with the keys of a search space, found {type(values).__name__}")
    names = [f.name for f in fields(SearchSpace)]
    faults = [f"unknown key {key!r} (known: {', '.join(names)})" for key in values if key not in names]
    faults += [f"missing key {f.name!r}" for f in fields(SearchSpace) if f.default is MISSING and f.name not in values]
    if faults:
        raise InputError(f"{where}: " + "; ".join(faults))
    return _parsed(values, where)


def resize_space(space: SearchSpace, input_size: int) -> SearchSpace:
    """The same space for images of another size; its window is the part of them that comes nearest to the same.

    Raises:
        InputError: where the lowest resolution would not come out whole.
    """
    window: tuple[int, ...] = ()
    for first, last in zip(space.window[::2], space.window[1::2], strict=True):
        scale, whole = input_size / space.input_size, space.lowest_reduction()
        side = min(max(1, round((last - first) * scale / whole)) * whole, input_size)
        begin = min(max(0, round((first + last) * scale / 2 - side / 2)), input_size - side)
        window += (begin, begin + side)
    resized = replace(space, input_size=input_size, window=window)
    check_consistency(resized, f"search space {space.name!r}")
    return resized


def _once_each(yaml: Any) -> Any:
    """A safe loader that refuses a key which a mapping has twice, of which YAML keeps the last."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = sorted({str(key) for key in keys if keys.count(key) > 1})
            if twice:
                line = node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"line {line}: expected each key once, found {twice[0]!r} twice", node.start_mark
                )
            return super().construct_mapping(node, deep)

    return Loader


def read_space(path: Path) -> SearchSpace:
    """Reads a search space's YAML file.

    Raises:
        InputError: where it is not YAML, or has unknown, missing or wrong keys.
    """
    import yaml  # people write YAML, but a subnet is JSON and needs none

    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_once_each(yaml))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: expected YAML: {error}") from error
    return parse_space(values, str(path))
