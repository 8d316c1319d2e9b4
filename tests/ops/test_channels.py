"""Rounding to a runtime's multiples."""

from __future__ import annotations

import pytest

from gazenas.ops.channels import ALIGNED, BLOCK, SMALL_BLOCK, channels_at_once, round_up


@pytest.mark.parametrize("multiple", [1, ALIGNED, SMALL_BLOCK, BLOCK])
def test_rounding_up_is_the_next_multiple(multiple: int) -> None:
    for count in range(70):
        expected = next(n for n in range(count, count + multiple) if n % multiple == 0)
        assert round_up(count, multiple) == expected
        assert round_up(count, multiple, 40) == min(expected, 40)
    assert round_up(0.1 + 8, 8) == 16


def test_multiples_divide_one_another() -> None:
    """A count that is whole for a larger block is so for every smaller one."""
    assert BLOCK % SMALL_BLOCK == SMALL_BLOCK % ALIGNED == 0
    assert channels_at_once() in (SMALL_BLOCK, BLOCK)
