"""How training responds: Hessian products, sensitivities, fluctuations of finite networks."""

from mfpde.response.finite_result import FiniteSize
from mfpde.response.finite_size import finite_size
from mfpde.response.hessian import hessian_product
from mfpde.response.sensitivity import sensitivity
from mfpde.response.sensitivity_result import Sensitivity

__all__ = ["FiniteSize", "Sensitivity", "finite_size", "hessian_product", "sensitivity"]
