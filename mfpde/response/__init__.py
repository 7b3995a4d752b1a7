"""How training responds: Hessian products, sensitivities, fluctuations of finite networks."""

from mfpde.response.hessian import hessian_product

__all__ = ["hessian_product"]
