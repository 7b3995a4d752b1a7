"""Theorems as numbers, with their assumptions: kernel, convergence, landscape, exact solutions."""

from mfpde.theory.certificate import CRITERIA, Certificate, certificate
from mfpde.theory.escape import Escape, escape, insert
from mfpde.theory.finite_size import FiniteSizeFit, fit_finite_size
from mfpde.theory.kernel import (
    KernelEvolution,
    KernelSpectrum,
    depth_kernel,
    kernel_evolution,
    kernel_spectrum,
    tangent_kernel,
    tangent_operator,
)
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
from mfpde.theory.lipschitz import adjoint_bounds, lipschitz
from mfpde.theory.loss_law import LossLaw, fit_loss_law
from mfpde.theory.polyak_lojasiewicz import (
    Envelope,
    PolyakLojasiewicz,
    envelope,
    polyak_lojasiewicz,
)
from mfpde.theory.rates import Rate, fit_rate
from mfpde.theory.required_size import RequiredSize, required_size
from mfpde.theory.shallow import ShallowComparison, shallow_comparison
from mfpde.theory.stationarity import Potential, Stationarity, stationarity

__all__ = [
    "CRITERIA",
    "Certificate",
    "Envelope",
    "Escape",
    "FiniteSizeFit",
    "KernelEvolution",
    "KernelSpectrum",
    "LinearFlow",
    "LossLaw",
    "PolyakLojasiewicz",
    "Potential",
    "Rate",
    "RequiredSize",
    "ShallowComparison",
    "Stationarity",
    "adjoint_bounds",
    "certificate",
    "conserved_spectra",
    "depth_kernel",
    "envelope",
    "escape",
    "fit_finite_size",
    "fit_loss_law",
    "fit_rate",
    "gradient_domination",
    "insert",
    "kernel_evolution",
    "kernel_spectrum",
    "linear_bound",
    "linear_closure",
    "linear_margin",
    "linear_multiplier",
    "linear_rate",
    "linear_scalar",
    "lipschitz",
    "polyak_lojasiewicz",
    "required_size",
    "shallow_comparison",
    "stationarity",
    "tangent_kernel",
    "tangent_operator",
]
