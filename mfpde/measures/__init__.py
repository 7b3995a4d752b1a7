"""Laws of parameters over depth, ρ_t(dθ) dt: the states of the flows."""

from mfpde.measures.particles import ParticleMeasure

__all__ = ["ParticleMeasure"]
