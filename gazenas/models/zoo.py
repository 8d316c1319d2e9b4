"""Numbers in, network out: supernets of a search space and subnets of an architecture."""

from __future__ import annotations

import inspect
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from gazenas.errors import InputError
from gazenas.files import read_json
from gazenas.models.baselines import BASELINES, SCALABLE, Baseline, BaselineSpec
from gazenas.models.build import build_network, check_space, full_architecture
from gazenas.models.network import Network
from gazenas.models.weights import add_user, input_channels_of, load_weights
from gazenas.space.architecture import Architecture
from gazenas.space.parsing import read_space, resize_space
from gazenas.space.search_space import SearchSpace

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
    folder = space_folder()
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.yaml"))
        raise InputError(
            f"unknown search space {str(name_or_path)!r}: expected a YAML file or one of {', '.join(known)}"
        )
    space = read_space(path)
    check_space(space, str(path))
    return space


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
        space = resize_space(space, input_size)
    return build_network(full_architecture(space), importance=True)


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
        input_channels: 3, RGB, or 1, such as infrared. Three-channel weights are then added up, which answers a gray image
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
        found = Architecture(resize_space(found.space, input_size), found.kept)
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
    folder = Path(path)
    if not folder.exists() and str(path) not in list_subnets():
        raise InputError(f"{path}: no such run folder, architecture file or subnet name")
    if folder.exists():
        weights = (folder if folder.is_dir() else folder.parent) / "weights.safetensors"
    else:
        weights = _subnet_folder() / f"{path}.safetensors"
    spec = _baseline_spec(path, None)
    network = build_model(path) if spec else build_subnet(path, input_channels=input_channels_of(weights))
    load_weights(network, weights)
    if user is not None:
        add_user(network, Path(user))
    return network.eval()
