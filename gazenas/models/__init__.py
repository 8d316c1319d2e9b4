"""The network, its building blocks, and the builders that put them together from numbers."""
