"""Theorems as numbers, with their assumptions: kernel, convergence, landscape, exact solutions."""

from mfpde.theory._assumptions import Assumption, Assumptions, assumptions
from mfpde.theory._certificate import CRITERIA, Certificate, certificate
from mfpde.theory._escape import Escape, escape, insert
from mfpde.theory._finite_size import FiniteSizeFit, fit_finite_size
from mfpde.theory._homogeneity import Homogeneity, homogeneity
from mfpde.theory._kernel import (
    KernelEvolution,
    KernelSpectrum,
    depth_kernel,
    kernel_evolution,
    kernel_spectrum,
    tangent_kernel,
    tangent_operator,
)
from mfpde.theory._linear_exact import (
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
from mfpde.theory._lipschitz import adjoint_bounds, lipschitz
from mfpde.theory._loss_law import LossLaw, fit_loss_law
from mfpde.theory._polyak_lojasiewicz import (
    Envelope,
    PolyakLojasiewicz,
    envelope,
    polyak_lojasiewicz,
)
from mfpde.theory._rates import Rate, fit_rate
from mfpde.theory._required_size import RequiredSize, required_size
from mfpde.theory._separation import Separation, separation
from mfpde.theory._shallow import ShallowComparison, shallow_comparison
from mfpde.theory._stationarity import Potential, Stationarity, stationarity
from mfpde.theory._sublevel import SublevelCertificate, sublevel_certificate

__all__ = [
    "CRITERIA",
    "Assumption",
    "Assumptions",
    "Certificate",
    "Envelope",
    "Escape",
    "FiniteSizeFit",
    "Homogeneity",
    "KernelEvolution",
    "KernelSpectrum",
    "LinearFlow",
    "LossLaw",
    "PolyakLojasiewicz",
    "Potential",
    "Rate",
    "RequiredSize",
    "Separation",
    "ShallowComparison",
    "Stationarity",
    "SublevelCertificate",
    "adjoint_bounds",
    "assumptions",
    "certificate",
    "conserved_spectra",
    "depth_kernel",
    "envelope",
    "escape",
    "fit_finite_size",
    "fit_loss_law",
    "fit_rate",
    "gradient_domination",
    "homogeneity",
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
    "separation",
    "shallow_comparison",
    "stationarity",
    "sublevel_certificate",
    "tangent_kernel",
    "tangent_operator",
]
