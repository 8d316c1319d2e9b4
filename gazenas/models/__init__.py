"""Networks: built from numbers, found by name, frozen, with their heads and the comparators."""
