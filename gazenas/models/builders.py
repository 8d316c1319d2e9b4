"""Numbers in, network out: supernets of a search space and subnets of an architecture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from torch import nn

from gazenas.architecture import CHANNEL, STREAM, Architecture, BlockSpec, InputError, SearchSpace, read_json
from gazenas.models.baselines import BASELINES, SCALABLE, Baseline, BaselineSpec
from gazenas.models.heads import HEADS, Head
from gazenas.models.modules import FusionModule, ParallelModule, Stage
from gazenas.models.network import Network
from gazenas.models.search_block import ProjectedResidual, SearchBlock
from gazenas.models.weights import add_user, input_channels_of, load_weights
from gazenas.ops import OPS
from gazenas.ops.squeeze_excite import SqueezeExcite
from gazenas.ops.stream import Stream, closing_norm

GazeModel = Network | Baseline


def space_folder() -> Path:
    """Where the named search spaces lie: inside an installed package, or beside it in its repository."""
    installed = Path(str(files("gazenas"))) / "search_spaces"
    return installed if installed.is_dir() else installed.parent.parent / "search_spaces"


def load_space(name_or_path: str | Path) -> SearchSpace:
    """Reads a search space.

    Args:
        name_or_path: a name in ``search_spaces/`` without its ending, or a YAML file.

    Raises:
        InputError: where there is no such space, or its file has unknown, missing or wrong keys.
    """
    import yaml  # people write YAML, but a subnet is JSON and needs none

    folder = space_folder()
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.yaml"))
        raise InputError(
            f"unknown search space {str(name_or_path)!r}: expected a YAML file or one of {', '.join(known)}"
        )
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_once_each(yaml))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: expected YAML: {error}") from error
    space = SearchSpace.from_dict(values, str(path))
    check_space(space, str(path))
    return space


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


def check_space(space: SearchSpace, where: str) -> None:
    """Checks the settings of every operator and of the head against the code that takes them.

    Raises:
        InputError: naming all faults at once.
    """
    faults = []
    places = [("fusion", space.fusion)] + [
        (f"parallel[{number}]", entry) for number, entry in enumerate(space.parallel, 1)
    ]
    for place, operators in places:
        for name, settings in operators.items():
            if name not in OPS:
                faults.append(f"{place}: unknown operator {name!r} (known: {', '.join(OPS)})")
                continue
            wrong = _wrong_keys(OPS[name].full_widths, settings, given={"in_channels"})
            faults += [f"{place}: {name}: {fault}" for fault in wrong]
            if not wrong:
                faults += _refusal(f"{place}: ", lambda: OPS[name].full_widths(space.stem[-1], **settings))  # noqa: B023
    settings = {key: value for key, value in space.head.items() if key != "kind"}
    if space.head["kind"] not in HEADS:
        faults.append(f"head: unknown kind {space.head['kind']!r} (known: {', '.join(HEADS)})")
    else:
        wrong = _wrong_keys(HEADS[space.head["kind"]].__init__, settings, given={"self", "in_channels", "sizes"})
        faults += (
            [f"head: {fault}" for fault in wrong]
            if wrong
            else _refusal("", lambda: _build_head(space, space.stages[-1].channels))
        )
    if faults:
        raise InputError(f"{where}: " + "; ".join(faults))


def _wrong_keys(function: Callable[..., Any], settings: Mapping[str, Any], given: set[str]) -> list[str]:
    expected = [name for name in inspect.signature(function).parameters if name not in given]
    faults = [f"unknown key {key!r} (known: {', '.join(expected)})" for key in settings if key not in expected]
    return faults + [f"missing key {key!r}" for key in expected if key not in settings]


def _refusal(place: str, build: Callable[[], Any]) -> list[str]:
    """What ``build`` says against its settings."""
    try:
        build()
    except (InputError, TypeError, ValueError) as error:
        return [f"{place}{error}"]
    return []


def build_supernet(space: SearchSpace | str | Path, *, input_size: int | None = None) -> Network:
    """The network at full width, every unit with an importance factor of 1.

    Args:
        space: a search space, a name, or a YAML file.
        input_size: overrides the space's; divisible by 32 (three branches).

    Returns:
        ``(N, 3, S, S)`` images to ``(N, 2)`` pitch and yaw in radians.

    Raises:
        InputError: where the space or the size is wrong.
    """
    space = space if isinstance(space, SearchSpace) else load_space(space)
    if input_size is not None:
        space = space.resized(input_size)
    return build_network(full_architecture(space), importance=True)


def full_architecture(space: SearchSpace) -> Architecture:
    """Everything that a space offers."""
    streams = {name: {STREAM: {CHANNEL: width}} for name, width in space.searched_streams().items()}
    blocks = {
        spec.name: {
            name: OPS[name].full_widths(spec.in_channels, **settings) for name, settings in spec.operators.items()
        }
        for spec in space.blocks()
    }
    return Architecture(space, streams | blocks)


def build_subnet(
    arch: Architecture | str | Path,
    *,
    weights: str | Path | None = None,
    input_size: int | None = None,
    input_channels: int = 3,
) -> Network:
    """The network that an architecture describes, without importance factors, in float32.

    Args:
        arch: an architecture, an ``arch.json``, or a name of :func:`list_subnets`.
        weights: a safetensors file, loaded strictly, or ``"default"`` for those that are shipped with a name; fresh weights
            without it.
        input_size: overrides the architecture's, divisible by 32; weights fit only where the head has no learned positions
            or the number of its tokens stays the same.
        input_channels: 3, RGB, or 1, such as infrared. Three-channel weights are then added up, which answers a grey image
            as RGB copies of it would be.

    Raises:
        InputError: where a file is absent or does not fit.
    """
    shipped = isinstance(arch, str) and arch in list_subnets()
    if weights == "default":
        if not shipped:
            known = ", ".join(list_subnets())
            raise InputError(f"weights: expected 'default' with a shipped name ({known}), found it with {arch!r}")
        weights = _subnet_folder() / f"{arch}.safetensors"
    found = arch if isinstance(arch, Architecture) else _find_architecture(arch)
    if not isinstance(found, Architecture):
        raise InputError(f"{arch}: expected an architecture, found the comparator {found.baseline}; see build_model")
    if input_size is not None:
        found = Architecture(found.space.resized(input_size), found.kept)
    network = build_network(found, importance=False, input_channels=input_channels)
    if weights is not None:
        load_weights(network, Path(weights))
    return network


def build_model(name: str | Path, *, weights: str | Path | None = None, input_size: int | None = None) -> GazeModel:
    """A subnet, a published comparator or a hand-made rival.

    Args:
        name: what :func:`build_subnet` takes, a name of ``BASELINES``, or the ``arch.json`` of one of these.
        weights: as there.
        input_size: side of the images; a comparator has its paper's without it.

    Raises:
        InputError: as :func:`build_subnet`.
    """
    spec = _baseline_spec(name, input_size)
    if spec is None:
        return build_subnet(str(name), weights=weights, input_size=input_size)
    network = _build_baseline(spec, str(name))
    if weights is not None:
        load_weights(network, Path(weights))
    return network


def _baseline_spec(name: str | Path, input_size: int | None) -> BaselineSpec | None:
    """What a name or a file says of a comparator; an input size of 0 stands for its paper's."""
    if str(name) in BASELINES:
        return BaselineSpec(str(name), input_size or 0)
    if str(name) in list_subnets() or not Path(name).exists():
        return None
    found = _find_architecture(name)
    if isinstance(found, Architecture):
        return None
    if found.baseline not in BASELINES | SCALABLE:
        known = ", ".join(BASELINES | SCALABLE)
        raise InputError(f"{name}: expected a comparator of {known}, found {found.baseline!r}")
    return replace(found, input_size=input_size or found.input_size)


def _build_baseline(spec: BaselineSpec, where: str) -> Baseline:
    builder = BASELINES.get(spec.baseline) or SCALABLE[spec.baseline]
    numbers = dict(spec.settings) | ({"input_size": spec.input_size} if spec.input_size else {})
    if spec.baseline in BASELINES and spec.settings:
        raise InputError(f"{where}: settings: expected none with {spec.baseline}, found {spec.settings}")
    try:
        inspect.signature(builder).bind(**numbers)
    except TypeError as error:
        raise InputError(f"{where}: settings of {spec.baseline}: {error}, found {dict(spec.settings)}") from error
    return builder(**numbers)


def list_subnets() -> list[str]:
    """Names that :func:`build_subnet` knows: the architectures shipped inside the package."""
    return sorted(path.stem for path in _subnet_folder().glob("*.json"))


def _subnet_folder() -> Path:
    return Path(str(files("gazenas"))) / "models" / "subnets"


def _find_architecture(name_or_path: str | Path) -> Architecture | BaselineSpec:
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "arch.json"
    if path.suffix != ".json":
        path = _subnet_folder() / f"{name_or_path}.json"
        if not path.is_file():
            known = ", ".join(list_subnets()) or "none yet"
            raise InputError(
                f"unknown subnet {str(name_or_path)!r}: expected an arch.json, a run folder, or a shipped name ({known})"
            )
    values = read_json(path)
    if "baseline" in values:
        return BaselineSpec.from_dict(values, str(path))
    return Architecture.from_dict(values, str(path))


def load_model(path: str | Path, *, user: str | Path | None = None) -> GazeModel:
    """A trained network, ready to run.

    Args:
        path: a run folder (``arch.json`` and ``weights.safetensors``), an ``arch.json`` with the weights beside
            it, or a name of :func:`list_subnets`.
        user: what ``gazenas calibrate --save`` wrote for a person, laid over the weights.

    Returns:
        The network in eval mode.

    Raises:
        InputError: where a file is absent or does not fit, or ``user`` was made for other weights.
    """
    place = Path(path)
    if not place.exists() and str(path) not in list_subnets():
        raise InputError(f"{path}: no such run folder, architecture file or subnet name")
    if place.exists():
        weights = (place if place.is_dir() else place.parent) / "weights.safetensors"
    else:
        weights = _subnet_folder() / f"{path}.safetensors"
    spec = _baseline_spec(path, None)
    network = build_model(path) if spec else build_subnet(path, input_channels=input_channels_of(weights))
    load_weights(network, weights)
    if user is not None:
        add_user(network, Path(user))
    return network.eval()


def build_network(arch: Architecture, *, importance: bool, input_channels: int = 3) -> Network:
    """Builds what an architecture describes.

    Args:
        arch: what is kept of a space.
        importance: with importance factors (a supernet, possibly shrunk) or without (a subnet).
        input_channels: of the images.

    Raises:
        InputError: where a block keeps more than its space offers.
    """
    space = arch.space
    check_space(space, f"search space {space.name!r}")
    widths = arch.stream_widths()
    streams = {name: Stream(width=widths[name]) for name in space.searched_streams()} if importance else {}
    blocks: dict[str, SearchBlock] = {}

    def make(specs: list[BlockSpec]) -> list[SearchBlock]:
        made = [_build_block(spec, arch, widths, streams.get(spec.target), importance) for spec in specs]
        blocks.update({spec.name: block for spec, block in zip(specs, made, strict=True)})
        return made

    stages = []
    for number, stage in enumerate(space.stages):
        specs = space.fusion_blocks(number)
        joins: list[dict[int, nn.Module]] = []
        opening: nn.Module | None = None
        for spec, block in zip(specs, make(specs), strict=True):
            to, source = spec.name.split(".")[2:]
            if source == "new":
                opening = block
                continue
            if int(to[6:]) > len(joins):
                joins.append({})
            joins[-1][int(source[4:]) - 1] = block
        pending = make(space.parallel_blocks(number))
        branches = [[pending.pop(0) for _ in range(count)] for count in stage.blocks]
        stages.append(
            Stage(fusion=FusionModule(joins=joins, opening=opening), parallel=ParallelModule(branches=branches))
        )
    stem = _build_stem(input_channels, list(widths.items())[: len(space.stem)], streams)
    head = _build_head(space, [widths[name] for name in space.head_streams()])
    return Network(space=space, stem=stem, stages=stages, head=head, blocks=blocks, streams=streams)


def _build_stem(input_channels: int, widths: list[tuple[str, int]], streams: Mapping[str, Stream]) -> nn.Sequential:
    """3x3 stride-2 convolutions with BatchNorm and ReLU, one a stream of the stem with its channels."""
    layers: list[nn.Module] = []
    before = input_channels
    for name, after in widths:
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), closing_norm(after, streams.get(name)), nn.ReLU()]
        before = after
    return nn.Sequential(*layers)


def _build_head(space: SearchSpace, channels: Sequence[int]) -> Head:
    settings = {key: value for key, value in space.head.items() if key != "kind"}
    return HEADS[space.head["kind"]](in_channels=channels, sizes=space.sizes(), **settings)


def _build_block(
    spec: BlockSpec, arch: Architecture, channels: Mapping[str, int], stream: Stream | None, importance: bool
) -> SearchBlock:
    """A block between streams of ``channels``; ``stream`` holds the importance factors of what it writes."""
    space, kept = arch.space, arch.kept[spec.name]
    ends = {"in_channels": channels[spec.source], "out_channels": channels[spec.target], "stride": spec.stride}
    paths: dict[str, nn.Module] = {}
    absent: dict[str, dict[str, int]] = {}
    for name, settings in spec.operators.items():
        full, widths = OPS[name].full_widths(spec.in_channels, **settings), kept[name]
        if set(full) != set(widths) or any(widths[group] > full[group] for group in full):
            raise InputError(f"{spec.name}: {name}: expected at most {full}, found {dict(widths)}")
        if importance or any(widths.values()):
            build = cast(Callable[..., nn.Module], OPS[name])
            paths[name] = build(
                **ends,
                widths={group: widths[group] for group in full},
                importance=importance,
                stream=stream,
                **settings,
            )
        else:
            absent[name] = dict.fromkeys(full, 0)
    residual = None if spec.identity else ProjectedResidual(**ends, kernel=space.residual_kernel, stream=stream)
    lively = any(count for groups in kept.values() for count in groups.values())
    excite = None
    if space.squeeze and lively:
        excite = SqueezeExcite(channels=channels[spec.source], hidden=max(spec.in_channels // space.squeeze, 4))
    return SearchBlock(
        paths=paths,
        residual=residual,
        squeeze=excite,
        absent=absent,
        bias=channels[spec.target] if absent else 0,
        rectify=space.rectify and spec.source == spec.target,
    )
