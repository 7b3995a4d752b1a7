"""The entropic problem, E(ρ) + τ ∫ Ent(ρ_t) dt on a grid, solved for its stationary state."""

from mfpde.entropic.result import Iterate, Stationary
from mfpde.entropic.solve import METHODS, prior, stationary

__all__ = ["METHODS", "Iterate", "Stationary", "prior", "stationary"]
