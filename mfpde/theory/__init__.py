"""Theory that computes: numbers for the theorems, each with its assumptions stated."""

from mfpde.theory.finite_size import FiniteSizeFit, fit_finite_size

__all__ = ["FiniteSizeFit", "fit_finite_size"]
