"""``gazenas summary``: MACs, parameters, and what survived in each block."""

from __future__ import annotations

from pathlib import Path

import torch

from gazenas.commands.common import console, make_parser, print_table
from gazenas.counting import count_macs, count_params
from gazenas.models.builders import build_subnet, build_supernet, full_architecture, list_subnets, space_folder
from gazenas.models.network import Network
from gazenas.report.architecture import block_widths, draw_architecture


def run(argv: list[str]) -> None:
    """Runs the verb."""
    parser = make_parser("summary", "Prints the size of a network and what survived in each block, and draws it.")
    parser.add_argument(
        "model", type=str, help="run folder, arch.json, shipped subnet, or the name or YAML file of a search space"
    )
    parser.add_argument("--out", type=str, default="", help="PNG file for the picture of the architecture")
    parser.add_argument("--verify", action="store_true", help="count MACs a second time with fvcore")
    arguments = parser.parse_args(argv)
    network = _build(arguments.model)
    arch = network.architecture()
    full = full_architecture(arch.space)
    specs = {spec.name: spec for spec in arch.space.blocks()}
    total = count_macs(network, network.input_size)
    groups = list(dict.fromkeys(group for name in arch.kept for group in block_widths(full, name)))
    rows = []
    for name, block in network.blocks().items():
        side = network.input_size // specs[name].reduction
        macs = block.macs(block.widths(), side, side)
        kept, offered = block_widths(arch, name), block_widths(full, name)
        cells = [f"{kept[group]}/{offered[group]}" if group in offered else "" for group in groups]
        rows.append([name, *cells, f"{macs / 1e6:.3f}", f"{macs / total:.1%}", f"{count_params(block):,}"])
    inside = sum(
        block.macs(
            block.widths(), network.input_size // specs[name].reduction, network.input_size // specs[name].reduction
        )
        for name, block in network.blocks().items()
    )
    rows.append(
        [
            "stem, residuals, head",
            *[""] * len(groups),
            f"{(total - inside) / 1e6:.3f}",
            f"{(total - inside) / total:.1%}",
            "",
        ]
    )
    titles = [f"{group}x{group}" if group.isdigit() else f"{group}s" for group in groups]
    print_table(
        f"{arguments.model} ({arch.space.name} at {network.input_size} pixels)",
        ["block", *titles, "M MACs", "share", "parameters"],
        rows,
    )
    supernet = count_macs(build_supernet(arch.space), network.input_size)
    console.print(
        f"{total:,} MACs (the papers' FLOPs), {total / supernet:.1%} of the supernet's {supernet:,}; {count_params(network):,} parameters"
    )
    console.print(f"fingerprint {arch.fingerprint()}")
    if arguments.verify:
        console.print(f"fvcore counts {_fvcore_macs(network):,} MACs")
    if arguments.out:
        draw_architecture(arch, Path(arguments.out))
        console.print(f"wrote {arguments.out}")


def _build(name: str) -> Network:
    path = Path(name)
    is_space = path.suffix in (".yaml", ".yml") or (
        not path.exists() and name not in list_subnets() and (space_folder() / f"{name}.yaml").is_file()
    )
    return build_supernet(name) if is_space else build_subnet(name)


def _fvcore_macs(network: Network) -> int:
    """MACs by fvcore's handles for convolutions, linear layers and matrix products."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(network.eval(), torch.zeros(1, 3, network.input_size, network.input_size))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = analysis.by_operator()
    return int(sum(counted[name] for name in ("conv", "linear", "matmul", "bmm", "addmm", "einsum")))
