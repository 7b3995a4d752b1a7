"""Theorems as numbers, with their assumptions: kernel, convergence, landscape, exact solutions."""

from mfpde.theory.linear_exact import (
    LinearFlow,
    conserved_spectra,
    gradient_domination,
    linear_bound,
    linear_closure,
    linear_margin,
    linear_multiplier,
    linear_rate,
    linear_scalar,
)

__all__ = [
    "LinearFlow",
    "conserved_spectra",
    "gradient_domination",
    "linear_bound",
    "linear_closure",
    "linear_margin",
    "linear_multiplier",
    "linear_rate",
    "linear_scalar",
]
