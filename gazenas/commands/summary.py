"""``gazenas summary``: MACs and parameters by module, and what survived in each block of a searched network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gazenas.commands._common import console, make_parser, print_table
from gazenas.counting import count_macs, count_macs_by_module, count_params
from gazenas.errors import InputError
from gazenas.models.build import full_architecture
from gazenas.models.network import Network
from gazenas.models.zoo import GazeModel, build_model, build_supernet, find_model
from gazenas.report.architecture import block_widths, draw_architecture, group_label
from gazenas.space.search_space import SearchSpace


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
    found = find_model(name).described
    return build_supernet(found) if isinstance(found, SearchSpace) else build_model(name)


def _print_blocks(name: str, network: Network) -> None:
    """Stem, streams, blocks and head, a row each, with what they keep of their space."""
    arch, size = network.architecture(), network.input_size
    full = full_architecture(arch.space)
    modules: dict[str, nn.Module] = {"stem": network.stem, **network.blocks(), "head": network.head}
    paths = {id(module): path for path, module in network.named_modules()}
    macs = count_macs_by_module(network, size, [paths[id(module)] for module in modules.values()])
    total, factors = macs[""], {id(factor) for factor in network.streams.parameters()}
    groups = list(dict.fromkeys(group for block in arch.kept for group in block_widths(full, block)))

    def cells(name: str) -> list[str]:
        kept, offered = (block_widths(each, name) if name in each.kept else {} for each in (arch, full))
        return [f"{kept[group]}/{offered[group]}" if group in offered else "" for group in groups]

    rows = []
    for name, module in modules.items():
        own = sum(each.numel() for each in module.parameters() if id(each) not in factors)
        taken = macs[paths[id(module)]]
        rows.append([name, *cells(name), f"{taken / 1e6:.3f}", f"{taken / total:.1%}", f"{own:,}"])
    # A stream takes nothing itself; its importance factors are parameters of a supernet.
    sizes, alphas = arch.space.reductions(), count_params(network.streams) > 0
    rows[1:1] = [
        [
            f"stream {stream}, 1/{sizes[stream]}",
            *cells(stream),
            "",
            "",
            f"{arch.stream_widths()[stream]}" if alphas else "",
        ]
        for stream in arch.space.searched_streams()
    ]
    columns = ["part", *map(group_label, groups), "M MACs", "share", "parameters"]
    window = arch.space.window and " x ".join(map(str, arch.space.size_at(1)))
    read = f", of which {window} are read" if window else ""
    print_table(f"{name} ({arch.space.name} at {size} pixels{read})", columns, rows)
    supernet = count_macs(build_supernet(arch.space), size)
    console.print(
        f"{total:,} MACs (the papers' FLOPs), {total / supernet:.1%} of the supernet's {supernet:,}; "
        f"{count_params(network):,} parameters"
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
