"""The entropic problem, E(ρ) + τ ∫ Ent(ρ_t) dt on a grid, solved for its stationary state."""

from mfpde.entropic.result import Ending, Iterate, Stationary
from mfpde.entropic.solve import METHODS, prior, stationary

__all__ = ["METHODS", "Ending", "Iterate", "Stationary", "prior", "stationary"]
