"""How training responds: Hessian products, sensitivities, fluctuations of finite networks."""

from mfpde.response.hessian import hessian_product
from mfpde.response.sensitivity import Sensitivity, sensitivity

__all__ = ["Sensitivity", "hessian_product", "sensitivity"]
