"""Mean-field limits of ResNets: laws of block parameters, trained by a gradient-flow PDE."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mfpde import activations, blocks, data, entropic, laws, losses, optimizers, paths
from mfpde.blocks import (
    SHL,
    Attention,
    Block,
    Linear,
    Meshed,
    Normalised,
    Populations,
    ScalarAttention,
    TokenMLP,
    check_block,
)
from mfpde.depth import Depth
from mfpde.entropic.solve import stationary
from mfpde.evaluate import evaluate, first_variation, gradient, loss, predict, trajectories
from mfpde.flows.solve import resume, solve
from mfpde.limits import Limit, limit
from mfpde.measures import (
    Axis,
    Grid,
    GridMeasure,
    JointGrid,
    JointMeasure,
    MovingGrid,
    OrderedBlocks,
    ParticleMeasure,
)
from mfpde.problem import Problem
from mfpde.response.finite_result import FiniteSize
from mfpde.response.finite_size import finite_size
from mfpde.response.hessian import hessian_product
from mfpde.response.sensitivity import sensitivity
from mfpde.response.sensitivity_result import Sensitivity
from mfpde.runs.solution import Solution
from mfpde.runs.status import SolveError, Status
from mfpde.warm import warmup

if TYPE_CHECKING:
    from mfpde import images, plots, resnet, sweep, theory, transport
    from mfpde.transport import conditional_transport, cot_distance

__version__ = "0.1.0"

__all__ = [
    "SHL",
    "Attention",
    "Axis",
    "Block",
    "Depth",
    "FiniteSize",
    "Grid",
    "GridMeasure",
    "JointGrid",
    "JointMeasure",
    "Limit",
    "Linear",
    "Meshed",
    "MovingGrid",
    "Normalised",
    "OrderedBlocks",
    "ParticleMeasure",
    "Populations",
    "Problem",
    "ScalarAttention",
    "Sensitivity",
    "Solution",
    "SolveError",
    "Status",
    "TokenMLP",
    "activations",
    "blocks",
    "check_block",
    "conditional_transport",
    "cot_distance",
    "data",
    "entropic",
    "evaluate",
    "finite_size",
    "first_variation",
    "gradient",
    "hessian_product",
    "images",
    "laws",
    "limit",
    "loss",
    "losses",
    "optimizers",
    "paths",
    "plots",
    "predict",
    "resnet",
    "resume",
    "sensitivity",
    "solve",
    "stationary",
    "sweep",
    "theory",
    "trajectories",
    "transport",
    "warmup",
]

# Imported when first asked for: each would double the time that ``import mfpde`` takes.
_ROOMS = ("images", "plots", "resnet", "sweep", "theory", "transport")
_OF_TRANSPORT = ("conditional_transport", "cot_distance")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _OF_TRANSPORT:
        return getattr(import_module(f"{__name__}.transport"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
