"""What ``finite_size`` returns: the law of finite networks' outputs and losses by size."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks, tables
from mfpde.paths import Path
from mfpde.problem import Problem
from mfpde.response import size_search
from mfpde.response.expansion import DEPTHS, root
from mfpde.response.size_search import Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

# Draws of the Gaussian law of the outputs, from which quantiles of the loss are read.
DRAWS = 1 << 14
# The expansion is trusted while its second-order term is below this part of the first, and the
# predicted deviation of the outputs below this part of the targets' root mean square.
TRUSTED = 0.5
# The limit is known well enough while its error is below this part of the deviation.
RESOLVED = 0.25


@dataclass(frozen=True)
class FiniteSize:
    """Networks of L layers and width M predicted at the training times ``s`` (T,).

    Outputs are Gaussian with the mean z + a/L + b/L² + c/n and the covariance C_L/n, n = LM for
    independent layers and n = M for tied ones and for paths; losses are their images. ``limit``,
    ``of_depth`` (a, b), ``second`` (c) and ``factors`` (of C) hold *rows*: the N·k outputs at the
    data, those at ``x_new``, and ∫∫ r dρ where there is a penalty. ``influence`` (T, rows, K, M)
    are the influence functions G_s(t_k, θ_kj) at the particles of ``rho0``; None where random
    probes took their place. ``errors`` estimates relative errors, of the deviations ("deviation",
    from halves of the particles, or the number of probes) and of c ("second"), ``limit_error``
    (T,) that of the limit's outputs; ``cost`` counts runs of the limit ("runs", "probes" and
    "adjoints", a product with the Hessian taken as three gradients).
    """

    problem: Problem = field(repr=False)
    coupling: str | Path
    s: Array
    limit: Array = field(repr=False)
    limit_error: Array = field(repr=False)  # (T,), RMS over the outputs at the data
    of_depth: tuple[Array, Array] = field(repr=False)
    second: Array = field(repr=False)
    spread: Array = field(repr=False)  # (T,) RMS over data of ½ D²F[ζ, ζ] about zero
    factors: tuple[Array, ...] = field(repr=False)
    shallow: tuple[Array, ...] | None = field(repr=False)
    influence: Array | None = field(repr=False)
    rho0: Any = field(repr=False)
    errors: dict[str, float]
    cost: dict[str, float]
    seed: int = 0

    # -- what is asked ------------------------------------------------------------------------

    def mean(self, layers: int, width: int, *, at: str = "data") -> Array:
        """Mean outputs of networks, (T, N, k); ``at`` "data" or "new" (the points ``x_new``)."""
        return self._outputs(self._mean(layers, width), at)

    def outputs_std(self, layers: int, width: int, *, at: str = "data") -> Array:
        """Standard deviations of the outputs between networks, (T, N, k)."""
        n = self.blocks(layers, width)
        found = [np.sqrt(np.square(self._factor(t, layers)).sum(axis=1) / n) for t in self._times]
        return self._outputs(np.stack(found), at)

    def loss_mean(self, layers: int, width: int) -> Array:
        """Mean loss of networks, (T,)."""
        return np.array([self._losses(t, layers, width).mean() for t in self._times])

    def loss_quantile(self, q: float, layers: int, width: int) -> Array:
        """The q-quantile of the loss between networks, (T,)."""
        checks.share("q", q)
        return np.array([np.quantile(self._losses(t, layers, width), q) for t in self._times])

    def loss_band(self, layers: int, width: int, *, level: float = 0.95) -> Array:
        """The central interval that holds the loss with probability ``level``, (T, 2)."""
        tail = 0.5 - 0.5 * checks.share("level", level)
        ends = [tail, 1.0 - tail]
        return np.array([np.quantile(self._losses(t, layers, width), ends) for t in self._times])

    def probability(self, loss: float, layers: int, width: int) -> float:
        """P(E <= loss) at the last time."""
        return float(np.mean(self._losses(len(self.s) - 1, layers, width) <= loss))

    def size_for(self, loss: float, probability: float, *, layers: int | None = None) -> Size:
        """The smallest network with P(E <= loss) >= ``probability`` at the last time.

        The least width at the given depth; without one, the shallowest depth from 4 on whose LM
        is within a quarter of the fewest blocks. Never a size at which the expansion is strained.

        Raises ValueError where no width is enough.
        """
        return size_search.size_for(
            self,
            checks.positive("loss", loss),
            checks.share("probability", probability),
            None if layers is None else checks.count("layers", layers),
        )

    # -- what the result says of itself ---------------------------------------------------------

    def validity(self, layers: int, width: int) -> Array:
        """How far the expansion is strained at this size, (T,): trusted below 0.5.

        The larger of the second-order term over the first (root mean squares over the data), and
        of half the deviation of the outputs over the root mean square of the targets or outputs.
        """
        strain = np.array([self._strain(self._factor(t, layers), t) for t in self._times])
        found: Array = strain / np.sqrt(self.blocks(layers, width))
        return found

    def trusted(self, layers: int, width: int) -> NDArray[np.bool_]:
        """Whether the expansion holds and the limit is known well enough, at each time, (T,).

        Where networks are so large that ``limit_error`` passes a quarter of their deviation, means
        and bands of losses need more ``particles``; deviations do not.
        """
        n = self.blocks(layers, width)
        deviation = np.array([rms(self._factor(t, layers)[: self._data]) for t in self._times])
        known = self.limit_error <= RESOLVED * deviation / np.sqrt(n)
        found: NDArray[np.bool_] = (self.validity(layers, width) < TRUSTED) & known
        return found

    @property
    def success(self) -> bool:
        """Whether the deviations are accurate to a tenth, and some size can be trusted."""
        return self.errors["deviation"] <= 0.1 and self.least_blocks < self.most_blocks

    @property
    def status(self) -> str:
        return "CONVERGED" if self.success else "INACCURATE"

    @property
    def message(self) -> str:
        """How accurate the coefficients are, and for which sizes they may be used."""
        unit = "LM" if self.coupling == "independent" else "M"
        text = (
            f"Deviations are accurate to {self.errors['deviation']:.1%}; the expansion holds at "
            f"every time from {unit} = {np.ceil(self.least_blocks):.0f} on, and the limit is known "
            f"well enough up to {unit} = {self.most_blocks:.3g}."
        )
        more = " More particles, or probes, would make it more accurate."
        return text if self.success else text + more

    @cached_property
    def least_blocks(self) -> float:
        """The least n = LM or M at which the expansion holds at every time, L large."""
        strain = [self._strain(factor, t) for t, factor in enumerate(self.factors)]
        return float(np.square(np.max(strain) / TRUSTED))

    @cached_property
    def most_blocks(self) -> float:
        """The largest n at which the limit's error is small beside the deviation, L large."""
        deviation = np.array([rms(factor[: self._data]) for factor in self.factors])
        tiny = np.finfo(float).tiny
        return float(np.square(RESOLVED * deviation / np.maximum(self.limit_error, tiny)).min())

    def _strain(self, factor: Array, t: int) -> float:
        deviation = rms(factor[: self._data])
        seen = self.limit[t, : self._data]
        scale = max(float(np.sqrt(np.mean(np.square(v)))) for v in (self.problem.y, seen)) or 1.0
        tiny = np.finfo(float).tiny
        return max(float(self.spread[t]) / max(deviation, tiny), TRUSTED * deviation / scale)

    def plot(self) -> Figure:
        """Loss of the limit with bands for a few widths, as a matplotlib figure."""
        from mfpde.response.plot import finite_size

        return finite_size(self)

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = {
            "layers": self.coupling,
            "s": self.s,
            "verdict": self.message,
            "cost": f"{sum(self.cost.values()):.3g} runs of the limit",
        }
        return tables.card("FiniteSize", rows)

    def __repr__(self) -> str:
        return (
            f"FiniteSize({self.coupling} layers, {len(self.s)} times to s = {self.s[-1]:g}; "
            f"{self.message} Cost {sum(self.cost.values()):.3g} runs of the limit)"
        )

    @property
    def limit_loss(self) -> Array:
        """E of the limit, (T,)."""
        return np.array([self._loss_of(rows[None])[0] for rows in self.limit])

    # -- how --------------------------------------------------------------------------------------

    @property
    def _times(self) -> range:
        return range(len(self.s))

    @property
    def _data(self) -> int:
        return self.problem.size * self.problem.outputs

    def blocks(self, layers: int, width: int) -> int:
        """n, which fluctuations go down with: LM or M."""
        layers, width = checks.count("layers", layers), checks.count("width", width)
        return layers * width if self.coupling == "independent" else width

    def _mean(self, layers: int, width: int) -> Array:
        a, b = self.of_depth
        n = self.blocks(layers, width)
        return self.limit + a / layers + b / layers**2 + self.second / n

    def _factor(self, t: int, layers: int) -> Array:
        """A with A Aᵀ = C_L = C + (C_4 − C) 4/L."""
        deep = self.factors[t]
        if self.shallow is None:
            return deep
        part, low = min(DEPTHS[0] / layers, 2.0), self.shallow[t]
        return root((1.0 - part) * deep @ deep.T + part * low @ low.T)

    def _outputs(self, rows: Array, at: str) -> Array:
        checks.choice("at", at, ("data", "new"))
        end = rows.shape[1] - bool(self.problem.penalty)
        which = rows[:, : self._data] if at == "data" else rows[:, self._data : end]
        if which.shape[1] == 0:
            raise ValueError("at='new' needs x_new, which finite_size was not given")
        return which.reshape(len(rows), -1, self.problem.outputs)

    @cached_property
    def _normal(self) -> Array:
        """The draws ξ, mirrored so that odd moments vanish, (DRAWS, r)."""
        most = max(factor.shape[1] for factor in self.factors)
        if self.shallow is not None:
            most = max(self._data, most) + 2
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(11,)))
        half = rng.standard_normal((DRAWS // 2, most))
        return np.concatenate([half, -half])

    def _losses(self, t: int, layers: int, width: int) -> Array:
        """E of draws from the law of the rows, (DRAWS,)."""
        problem, rows = self.problem, self._data
        factor = self._factor(t, layers) / np.sqrt(self.blocks(layers, width))
        keep = np.r_[0:rows, len(factor) - 1 : len(factor) - 1 + bool(problem.penalty)]
        mean, factor = self._mean(layers, width)[t][keep], factor[keep]
        out = np.empty(DRAWS)
        some = max((1 << 22) // max(rows, 1), 1)
        for first in range(0, DRAWS, some):
            xi = self._normal[first : first + some, : factor.shape[1]]
            out[first : first + some] = self._loss_of(mean + xi @ factor.T)
        return out

    def _loss_of(self, rows: Array) -> Array:
        problem, count = self.problem, len(rows)
        z = rows[:, : self._data].reshape(count * problem.size, problem.outputs)
        y = np.tile(problem.y, (count, 1))
        values = problem.loss.value(z, y).reshape(count, -1)
        weighted = values if problem.weights is None else values * problem.weights
        found: Array = weighted.mean(axis=1)
        return found + rows[:, -1] if problem.penalty else found


def rms(factor: Array) -> float:
    """Root mean square over rows of the deviations √C_ii."""
    return float(np.sqrt(np.square(factor).sum() / max(len(factor), 1)))
