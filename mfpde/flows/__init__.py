"""Gradient flows: what moves (``particle_flow``), one step (``schemes``), the loop (``solve``)."""
