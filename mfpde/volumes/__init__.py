"""Finite volumes on tensor grids: fluxes through faces, and the heat flow."""
