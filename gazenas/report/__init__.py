"""Plots and pictures. Nothing here touches matplotlib's global state; every function writes one PNG file."""
