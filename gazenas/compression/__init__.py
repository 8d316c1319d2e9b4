"""Smaller files out of trained networks, one method a file, and the gate that every result must pass."""
