"""Names and paths in, networks out: the only place that says what a name or a path stands for."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from gazenas.errors import InputError, did_you_mean
from gazenas.files import nearest_file, read_json
from gazenas.models.baselines import BASELINES, OPTIONS, SCALABLE, Baseline, BaselineSpec
from gazenas.models.build import build_network, check_space, full_architecture
from gazenas.models.network import Network
from gazenas.models.resizing import resize_layers
from gazenas.models.weights import add_user, input_channels_of, load_weights
from gazenas.space.architecture import GAZE_TASK, Architecture
from gazenas.space.parsing import read_space, resize_space
from gazenas.space.search_space import SearchSpace
from gazenas.tasks import TASKS, find_task

GazeModel = Network | Baseline
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSource:
    """What a name or a path stands for.

    Attributes:
        described: a subnet, a comparator or a search space. A comparator by name has an input size of 0, its paper's.
        weights: the file in which its weights lie, or would lie; None where there are none by that name.
    """

    described: Architecture | BaselineSpec | SearchSpace
    weights: Path | None = None

    @property
    def has_weights(self) -> bool:
        """Whether the file is there."""
        return self.weights is not None and self.weights.is_file()


def find_model(name_or_path: str | Path) -> ModelSource:
    """What a name or a path stands for.

    A run folder, an ``arch.json`` or a YAML file wins over a name, and a folder without ``arch.json`` does not; where
    there are both, the log says which was taken. Of names, comparators and shipped subnets come before search spaces.

    Raises:
        InputError: where there is no such thing, or its file is damaged.
    """
    name, path = str(name_or_path), Path(name_or_path)
    kind = _kind_of(name)
    found = _find_at(path)
    if found is not None:
        if kind:
            _log.warning("%s: taken from this path, not the %s of the same name", path.resolve(), kind)
        return found
    if not kind and path.suffix in (".json", ".yaml", ".yml"):
        raise InputError(f"{path}: no such file{nearest_file(path)}")
    if not kind:
        raise InputError(
            f"unknown subnet {name!r}{_nearest(path)}: no such run folder (with its arch.json), arch.json or YAML "
            f"file, nor a name of a shipped subnet "
            f"({', '.join(list_subnets())}), a search space or a comparator ({', '.join(BASELINES)}; "
            f"squeezenet@9 and the like end at a layer, gazecapture-ghost@kernel=5,ratio=4 has other Ghost modules, "
            f"handmade@24-28-36-56 and the like have these widths)"
        )
    if path.exists():
        _log.warning("%s: no run, since it has no arch.json; the %s of the same name was taken", path.resolve(), kind)
    if kind == "comparator":
        base, _, words = name.partition("@")
        return ModelSource(BaselineSpec(base, 0, _options(base, words)))
    if kind == "search space":
        return ModelSource(load_space(name))
    return _shipped(name)


def _nearest(path: Path) -> str:
    """What may have been meant by a name or a path that stands for nothing."""
    names = [*list_subnets(), *BASELINES, *(each.stem for each in space_folder().glob("*.yaml"))]
    return did_you_mean(str(path), names) or nearest_file(path)


def _kind_of(name: str) -> str:
    """What is known by a name, empty for nothing."""
    if name in BASELINES or ("@" in name and name.partition("@")[0] in OPTIONS):
        return "comparator"
    if name in list_subnets():
        return "shipped subnet"
    return "search space" if name and (space_folder() / f"{name}.yaml").is_file() else ""


def _options(base: str, words: str) -> dict[str, str]:
    """What stands behind ``@`` in a comparator's name: ``key=value``, several with commas; a value alone is the first
    key's."""
    known, found = OPTIONS.get(base, ()), {}
    for word in filter(None, words.split(",")):
        key, _, value = word.rpartition("=")
        if (key or known[0]) not in known:
            raise InputError(f"{base}@{words}: expected {' or '.join(known)} before =, found {key!r}")
        found[key or known[0]] = value
    return found


def _find_at(path: Path) -> ModelSource | None:
    """What lies at a path, if it is a model's."""
    if path.suffix in (".yaml", ".yml"):
        return ModelSource(load_space(path)) if path.is_file() else None
    file = path / "arch.json" if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        return None
    return ModelSource(_read_described(file), file.parent / "weights.safetensors")


def _shipped(name: str) -> ModelSource:
    return ModelSource(_read_described(_subnet_folder() / f"{name}.json"), _subnet_folder() / f"{name}.safetensors")


def _read_described(path: Path) -> Architecture | BaselineSpec:
    values = read_json(path)
    if "baseline" not in values:
        return Architecture.from_dict(values, str(path))
    found = BaselineSpec.from_dict(values, str(path))
    if found.baseline not in BASELINES | SCALABLE:
        known = ", ".join(BASELINES | SCALABLE)
        raise InputError(f"{path}: expected a comparator of {known}, found {found.baseline!r}")
    find_task(found.task, f"{path}: task")
    return found


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
    folder = space_folder()
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.yaml"))
        near = did_you_mean(str(name_or_path), known) or nearest_file(path)
        raise InputError(
            f"unknown search space {str(name_or_path)!r}{near}: expected a YAML file or one of {', '.join(known)}"
        )
    space = read_space(path)
    check_space(space, str(path))
    return space


def build_supernet(space: SearchSpace | str | Path, *, input_size: int | None = None, task: str = GAZE_TASK) -> Network:
    """The network at full width, every unit with an importance factor of 1.

    Args:
        space: a search space, a name, or a YAML file.
        input_size: overrides the space's; divisible by 32 (three branches).
        task: a key of ``TASKS``.

    Returns:
        ``(N, 3, S, S)`` images to ``(N, 2)`` pitch and yaw in radians, or to ``(N, outputs)`` of another task.

    Raises:
        InputError: where the space or the size is wrong.
    """
    space = space if isinstance(space, SearchSpace) else load_space(space)
    if input_size is not None:
        space = resize_space(space, input_size)
    return build_network(full_architecture(space, find_task(task).name), importance=True)


def build_subnet(
    arch: Architecture | str | Path,
    *,
    weights: str | Path | None = None,
    input_size: int | None = None,
    input_channels: int = 0,
) -> Network:
    """The network that an architecture describes, without importance factors, in float32.

    Args:
        arch: an architecture, an ``arch.json``, a run folder, or a name of :func:`list_subnets`.
        weights: a safetensors file, loaded strictly, or ``"default"`` for those that are shipped with a name, which is
            then no path; fresh weights without it.
        input_size: overrides the architecture's, divisible by 32; weights fit only where the head has no learned
            positions or the number of its tokens stays the same.
        input_channels: 3, RGB, or 1, such as infrared; 0 for what its task has. Three-channel weights are then added
            up, which answers a gray image as RGB copies of it would be.

    Raises:
        InputError: where a file is absent or does not fit.
    """
    if weights == "default":
        if not isinstance(arch, str) or arch not in list_subnets():
            known = ", ".join(list_subnets())
            raise InputError(f"weights: expected 'default' with a shipped name ({known}), found it with {arch!r}")
        source = _shipped(arch)
        found, weights = source.described, source.weights
    else:
        found = arch if isinstance(arch, Architecture) else find_model(arch).described
    return _build_subnet(found, str(arch), weights=weights, input_size=input_size, input_channels=input_channels)


def _build_subnet(
    found: Architecture | BaselineSpec | SearchSpace,
    where: str,
    *,
    weights: str | Path | None = None,
    input_size: int | None = None,
    input_channels: int = 0,
    task: str | None = None,
) -> Network:
    if isinstance(found, BaselineSpec):
        raise InputError(f"{where}: expected an architecture, found the comparator {found.baseline}; see build_model")
    if isinstance(found, SearchSpace):
        raise InputError(f"{where}: expected an architecture, found the search space {found.name}; see build_supernet")
    if input_size is not None:
        found = replace(found, space=resize_space(found.space, input_size))
    if task is not None:
        found = replace(found, task=task)
    network = build_network(found, importance=False, input_channels=input_channels)
    if weights is not None:
        load_weights(network, Path(weights))
    return network


def build_described(found: Architecture | BaselineSpec, where: str) -> GazeModel:
    """What an ``arch.json`` describes, with fresh weights.

    Args:
        found: its contents.
        where: it was found, for messages.

    Raises:
        InputError: where it cannot be built.
    """
    return _build_baseline(found, where) if isinstance(found, BaselineSpec) else _build_subnet(found, where)


def build_model(
    name: str | Path,
    *,
    weights: str | Path | None = None,
    input_size: int | None = None,
    task: str | None = None,
) -> GazeModel:
    """A subnet, a published comparator or a hand-made rival.

    Args:
        name: what :func:`build_subnet` takes, a name of ``BASELINES``, or the ``arch.json`` of one of these.
        weights: as there.
        input_size: side of the images; a comparator has its paper's without it.
        task: a key of ``TASKS``; that of the ``arch.json`` without it, and gaze for a name.

    Raises:
        InputError: as :func:`build_subnet`; where a comparator predicts gaze alone, or weights are of another task.
    """
    task = None if task is None else find_task(task).name
    if weights == "default":
        if task not in (None, GAZE_TASK):
            raise InputError(f"weights: those that are shipped with {name} are of gaze, expected them for {task}")
        return build_subnet(name, weights=weights, input_size=input_size)
    found = find_model(name).described
    if not isinstance(found, BaselineSpec):
        return _build_subnet(found, str(name), weights=weights, input_size=input_size, task=task)
    spec = replace(found, input_size=input_size or found.input_size, task=task or found.task)
    network = _build_baseline(spec, str(name))
    if weights is not None:
        load_weights(network, Path(weights))
    return network


def _build_baseline(spec: BaselineSpec, where: str) -> Baseline:
    builder = BASELINES.get(spec.baseline) or SCALABLE[spec.baseline]
    numbers = dict(spec.settings) | ({"input_size": spec.input_size} if spec.input_size else {})
    if spec.baseline in BASELINES and set(spec.settings) - set(OPTIONS.get(spec.baseline, ())):
        raise InputError(f"{where}: settings: expected none with {spec.baseline}, found {spec.settings}")
    try:
        inspect.signature(builder).bind(**numbers)
    except TypeError as error:
        raise InputError(f"{where}: settings of {spec.baseline}: {error}, found {dict(spec.settings)}") from error
    network = builder(**numbers)
    if spec.task != GAZE_TASK:
        network.answer(TASKS[spec.task])
    if spec.channels:
        resize_layers(network.body, spec.channels, where, image=network.input_size)
        network.spec = replace(network.spec, channels=spec.channels)
    return network


def list_subnets() -> list[str]:
    """Names that :func:`build_subnet` knows: the architectures shipped inside the package."""
    return sorted(path.stem for path in _subnet_folder().glob("*.json"))


def _subnet_folder() -> Path:
    return Path(str(files("gazenas"))) / "models" / "subnets"


def load_model(path: str | Path, *, user: str | Path | None = None) -> GazeModel:
    """A trained network, ready to run.

    Args:
        path: a run folder (``arch.json`` and ``weights.safetensors``), an ``arch.json`` with the weights beside
            it, or a name of :func:`list_subnets`; what exists as a path wins over a name, and the log says so.
        user: what ``gazenas calibrate --save`` wrote for a person, laid over the weights.

    Returns:
        The network in eval mode.

    Raises:
        InputError: where a file is absent or does not fit, or ``user`` was made for other weights.
    """
    source = find_model(path)
    found, weights = source.described, source.weights
    if weights is None:
        raise InputError(
            f"{path}: expected a network with weights, found the name of a comparator or a search space, which has "
            f"none: "
            "expected a run folder, an arch.json or a shipped subnet"
        )
    network = (
        _build_baseline(found, str(path))
        if isinstance(found, BaselineSpec)
        else _build_subnet(found, str(path), input_channels=input_channels_of(weights))
    )
    load_weights(network, weights)
    if user is not None:
        add_user(network, Path(user))
    return network.eval()
