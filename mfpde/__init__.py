"""Mean-field limits of ResNets: laws of block parameters, trained by a gradient-flow PDE."""

from mfpde import data, laws, resnet, theory, transport
from mfpde.blocks import SHL, Block, Linear, check_block
from mfpde.depth import Depth
from mfpde.evaluate import first_variation, gradient, loss, predict
from mfpde.flows.solve import resume, solve
from mfpde.flows.status import SolveError, Status
from mfpde.limit import Limit, limit
from mfpde.measures import ParticleMeasure
from mfpde.problem import Problem
from mfpde.solution import Solution
from mfpde.transport import conditional_transport, cot_distance

__version__ = "0.1.0"

__all__ = [
    "SHL",
    "Block",
    "Depth",
    "Limit",
    "Linear",
    "ParticleMeasure",
    "Problem",
    "Solution",
    "SolveError",
    "Status",
    "check_block",
    "conditional_transport",
    "cot_distance",
    "data",
    "first_variation",
    "gradient",
    "laws",
    "limit",
    "loss",
    "predict",
    "resnet",
    "resume",
    "solve",
    "theory",
    "transport",
]
