"""``gazenas summary``: MACs and parameters by module, and what survived in each block of a searched network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gazenas.architecture import InputError
from gazenas.commands.common import console, make_parser, print_table
from gazenas.counting import count_macs, count_macs_by_module, count_params
from gazenas.models.baselines import BASELINES
from gazenas.models.builders import (
    GazeModel,
    build_model,
    build_supernet,
    full_architecture,
    list_subnets,
    space_folder,
)
from gazenas.models.network import Network
from gazenas.report.architecture import block_widths, draw_architecture


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser(
        "summary", "Prints the size of a network by module and, of a searched one, what survived in each block."
    )
    parser.add_argument(
        "model",
        type=str,
        help="run folder, arch.json, shipped subnet, comparator, or the name or YAML file of a search space",
    )
    parser.add_argument("--out", type=str, default="", help="PNG file for the picture of a searched architecture")
    parser.add_argument("--depth", type=int, default=2, help="levels of modules of a comparator")
    parser.add_argument("--verify", action="store_true", help="count MACs again with fvcore and with torch's counter")
    arguments = parser.parse_args(argv)
    network = _build(arguments.model)
    if isinstance(network, Network):
        _print_blocks(arguments.model, network)
    elif arguments.out:
        raise InputError("--out: expected a searched network, whose architecture can be drawn, found a comparator")
    else:
        _print_modules(arguments.model, network, arguments.depth)
    console.print(f"fingerprint {network.architecture().fingerprint()}")
    if arguments.verify:
        console.print(f"fvcore counts {_fvcore_macs(network):,} MACs, torch's counter {_torch_macs(network):,}")
    if arguments.out and isinstance(network, Network):
        draw_architecture(network.architecture(), Path(arguments.out))
        console.print(f"wrote {arguments.out}")


def _build(name: str) -> GazeModel:
    path = Path(name)
    named = name in BASELINES or name in list_subnets()
    is_space = path.suffix in (".yaml", ".yml") or (
        not path.exists() and not named and (space_folder() / f"{name}.yaml").is_file()
    )
    return build_supernet(name) if is_space else build_model(name)


def _print_blocks(name: str, network: Network) -> None:
    """A row a block, with what it keeps of its space, then the rest."""
    arch = network.architecture()
    full = full_architecture(arch.space)
    parts, widths = network.parts(), network.widths()
    total = count_macs(network, network.input_size)
    groups = list(dict.fromkeys(group for block in arch.kept for group in block_widths(full, block)))
    rows, inside = [], 0
    for block_name, block in network.blocks().items():
        macs = parts[block_name].macs(widths)
        inside += macs
        kept, offered = block_widths(arch, block_name), block_widths(full, block_name)
        cells = [f"{kept[group]}/{offered[group]}" if group in offered else "" for group in groups]
        rows.append([block_name, *cells, f"{macs / 1e6:.3f}", f"{macs / total:.1%}", f"{count_params(block):,}"])
    outside = count_params(network) - sum(count_params(block) for block in network.blocks().values())
    rest = [f"{(total - inside) / 1e6:.3f}", f"{(total - inside) / total:.1%}", f"{outside:,}"]
    rows.append(["stem, head", *[""] * len(groups), *rest])
    titles = [f"{group}x{group}" if group.isdigit() else f"{group}s" for group in groups]
    columns = ["block", *titles, "M MACs", "share", "parameters"]
    print_table(f"{name} ({arch.space.name} at {network.input_size} pixels)", columns, rows)
    supernet = count_macs(build_supernet(arch.space), network.input_size)
    console.print(
        f"{total:,} MACs (the papers' FLOPs), {total / supernet:.1%} of the supernet's {supernet:,}; {count_params(network):,} parameters"
    )


def _print_modules(name: str, network: nn.Module, depth: int) -> None:
    """A row a submodule with parameters, down to a depth below the body."""
    size = int(network.input_size)  # type: ignore[arg-type]
    names = [
        path
        for path, module in network.named_modules()
        if path
        and path.count(".") <= depth
        and path != "body"
        and count_params(module)
        and not isinstance(module, nn.ModuleList)
    ]
    macs = count_macs_by_module(network, size, names)
    rows = [
        [
            path.removeprefix("body."),
            f"{macs[path] / 1e6:.3f}",
            f"{macs[path] / macs['']:.1%}",
            f"{count_params(network.get_submodule(path)):,}",
        ]
        for path in names
    ]
    print_table(f"{name} at {size} pixels", ["module", "M MACs", "share", "parameters"], rows)
    console.print(f"{macs['']:,} MACs (the papers' FLOPs); {count_params(network):,} parameters")


def _fvcore_macs(network: GazeModel) -> int:
    """MACs by fvcore's handles for convolutions, linear layers and matrix products."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(network.eval(), torch.zeros(1, 3, network.input_size, network.input_size))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = analysis.by_operator()
    return int(sum(counted[name] for name in ("conv", "linear", "matmul", "bmm", "addmm", "einsum", "lstm")))


def _torch_macs(network: GazeModel) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, network.input_size, network.input_size))
    return int(counter.get_total_flops()) // 2
