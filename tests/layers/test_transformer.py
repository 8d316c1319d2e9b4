"""Transformer layers against torch's own."""

import torch
from torch import nn

from gazenas.layers.transformer import EncoderLayer
from gazenas.models.heads.mrft import BranchEncoder
from gazenas.ops.tokens import TransformerLayer


def torchs(layer: nn.Module, width: int, heads: int, *, bias: bool = True) -> nn.TransformerEncoderLayer:
    """``nn.TransformerEncoderLayer``, post-norm, with the same weights."""
    theirs = nn.TransformerEncoderLayer(width, heads, layer.lift.out_features, 0.0, batch_first=True, bias=bias)  # type: ignore[union-attr, arg-type]
    pairs = {"out": theirs.self_attn.out_proj, "lift": theirs.linear1, "lower": theirs.linear2}
    pairs |= {"attention_norm": theirs.norm1, "norm": theirs.norm2}  # type: ignore[dict-item]
    for name, module in pairs.items():
        module.load_state_dict(layer.get_submodule(name).state_dict())
    queries = [layer.get_submodule(name) for name in ("query", "key", "value")]
    state = {"in_proj_weight": torch.cat([each.weight for each in queries])}  # type: ignore[arg-type]
    if bias:
        state["in_proj_bias"] = torch.cat([each.bias for each in queries])  # type: ignore[arg-type]
    theirs.self_attn.load_state_dict(state | dict(theirs.self_attn.out_proj.state_dict(prefix="out_proj.")))
    return theirs.double()


def disturbed(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.0, 0.5)
    return layer


def test_encoder_layer() -> None:
    torch.manual_seed(0)
    layer = disturbed(EncoderLayer(width=8, heads=2, feedforward=12))
    tokens = torch.randn(3, 5, 8, dtype=torch.float64)
    expected = torchs(layer, 8, 2)(tokens)
    torch.testing.assert_close(layer.double()(tokens, torch.zeros(5, 8)), expected)


def test_positions_are_added_to_queries_and_keys_only() -> None:
    """As torch's attention is when it is asked so."""
    torch.manual_seed(0)
    layer = disturbed(EncoderLayer(width=8, heads=2, feedforward=12)).double()
    tokens, positions = torch.randn(3, 5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    theirs = torchs(layer, 8, 2)
    placed = tokens + positions
    seen, _ = theirs.self_attn(placed, placed, tokens)
    hidden = theirs.norm1(tokens + seen)
    expected = theirs.norm2(hidden + theirs.linear2(theirs.linear1(hidden).relu()))
    torch.testing.assert_close(layer(tokens, positions), expected)


def test_dropout_is_of_training_only() -> None:
    torch.manual_seed(0)
    layer = disturbed(EncoderLayer(width=8, heads=2, feedforward=12, dropout=0.5))
    tokens, positions = torch.randn(3, 5, 8), torch.zeros(5, 8)
    assert not torch.equal(layer(tokens, positions), layer(tokens, positions))
    assert torch.equal(layer.eval()(tokens, positions), layer(tokens, positions))


def test_a_branch_that_queries_itself_is_an_encoder_layer() -> None:
    torch.manual_seed(0)
    layer = disturbed(BranchEncoder(width=8, query_width=8, heads=2, feedforward=3))
    key, value = disturbed(nn.Linear(8, 8)).double(), disturbed(nn.Linear(8, 8)).double()
    tokens = torch.randn(3, 5, 8, dtype=torch.float64)
    whole = nn.ModuleDict(dict(layer.named_children()) | {"query": layer.fuse, "key": key, "value": value})
    expected = torchs(whole, 8, 2)(tokens)
    layer.double()
    torch.testing.assert_close(layer(tokens, tokens, key(tokens), value(tokens)), expected)


def test_a_layer_of_tokens_whose_weights_are_all_one() -> None:
    torch.manual_seed(0)
    layer = disturbed(TransformerLayer(width=9)).double()
    tokens = torch.randn(3, 5, 9, dtype=torch.float64)
    torch.testing.assert_close(layer(tokens, tokens, torch.ones(5)), torchs(layer, 9, 1, bias=False)(tokens))
