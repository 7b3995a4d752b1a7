"""Conditional optimal transport: distances, plans, geodesics and their statistics.

    COT²(ρ, ρ′) = ∫₀¹ W₂²(ρ_t, ρ′_t) dt

Mass moves in the parameter θ, never between depths t. Every verb takes measures of the package or
plain arrays ``(t, theta, weights)``.
"""

from mfpde.transport.distance import (
    CotResult,
    conditional_transport,
    cot_distance,
    uniform_distance,
)
from mfpde.transport.geometry import (
    Barycentre,
    barycentre,
    depth_regularity,
    geodesic,
    metric_speed,
    path_length,
    tangent_field,
)
from mfpde.transport.joint import joint_distance
from mfpde.transport.marginals import marginal_distance
from mfpde.transport.measure import ConditionalMeasure, as_measure
from mfpde.transport.methods import (
    Assignment,
    OneDim,
    SameIndex,
    Shortlist,
    Simplex,
    Sinkhorn,
    Sliced,
)
from mfpde.transport.statistics import SampleDistance, sample_distance

__all__ = [
    "Assignment",
    "Barycentre",
    "ConditionalMeasure",
    "CotResult",
    "OneDim",
    "SameIndex",
    "SampleDistance",
    "Shortlist",
    "Simplex",
    "Sinkhorn",
    "Sliced",
    "as_measure",
    "barycentre",
    "conditional_transport",
    "cot_distance",
    "depth_regularity",
    "geodesic",
    "joint_distance",
    "marginal_distance",
    "metric_speed",
    "path_length",
    "sample_distance",
    "tangent_field",
    "uniform_distance",
]
