"""What ``finite_size`` returns: the law of finite networks' outputs and losses by size."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfpde import checks, tables
from mfpde.blocks import Linear
from mfpde.measures.particles import ParticleMeasure
from mfpde.paths import Path
from mfpde.problem import Problem
from mfpde.response import finite_file, size_search
from mfpde.response.expansion import DEPTHS, FEW, Fluctuations, root
from mfpde.response.size_search import Size
from mfpde.runs.atomic import PathLike
from mfpde.runs.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

# Draws of the Gaussian law of the outputs, from which quantiles of the loss are read.
DRAWS = 1 << 14
# The expansion is trusted while its second-order term is below this part of the first: chosen on
# eleven problems, where deviations then were right to a tenth and bands held 94 %.
TRUSTED = 0.35
# The predicted deviation of the outputs beside the root mean square of targets or outputs.
WIDEST = 1.0
# Linear blocks are strained so many times as much. Where their limit leaves a saddle late, one
# network in a hundred leaves it early, a tail in no moment of the expansion: deviations were 26 to
# 54 % too small, and bands held 75 %, where the second-order term was a seventh of the first.
TAILS = 3.5
# The limit is known well enough while its error is below this part of the deviation.
RESOLVED = 0.25
# Relative error of the deviations themselves.
ACCURATE = 0.1
SERIES = ("limit_loss", "limit_error", "spread")


@dataclass(frozen=True)
class FiniteSize:
    """Networks of L layers and width M predicted at the training times ``s`` (T,).

    Outputs are Gaussian with the mean z + a/L + b/L² + c/n and the covariance C_L/n + BBᵀ/n², B the
    scatter of the second-order term and the error of c, n = LM for independent layers and n = M for
    tied ones and for paths; losses are their images. For a single layer ``of_one`` (T, rows) takes
    the place of a/L + b/L². ``limit``, ``of_depth`` (a, b), ``second`` (c), ``bend`` (B) and
    ``fluctuations`` (C_L) hold *rows*: the N·k outputs at the data, those at ``x_new``, and ∫∫ r dρ
    where there is a penalty. ``influence``, T arrays
    (r, K, M), are the influence functions G_s(t_k, θ_kj), at the particles of ``rho0``, of the
    ``combinations`` (r, rows) of rows in which networks differ most (all rows where those are few);
    None where random probes took their place. ``errors`` estimates relative errors, of the
    deviations ("deviation", from eighths of the particles, and the number of probes) and of c
    ("second"), ``limit_error`` (T,) that of the limit's outputs; ``cost`` counts runs of the limit
    ("runs", "probes" and "adjoints", a product with the Hessian taken as three gradients),
    ``seconds`` processor time.
    """

    problem: Problem = field(repr=False)
    coupling: str | Path
    s: Array
    limit: Array = field(repr=False)
    limit_error: Array = field(repr=False)  # (T,), RMS over the outputs at the data
    of_depth: tuple[Array, Array] = field(repr=False)
    of_one: Array = field(repr=False)
    second: Array = field(repr=False)
    bend: Array = field(repr=False)
    spread: Array = field(repr=False)  # (T,) RMS over data of ½ D²F[ζ, ζ] about zero
    fluctuations: tuple[Fluctuations, ...] = field(repr=False)
    combinations: tuple[Array, ...] | None = field(repr=False)
    influence: tuple[Array, ...] | None = field(repr=False)
    rho0: ParticleMeasure | None = field(repr=False)
    errors: dict[str, float]
    cost: dict[str, float]
    seconds: float
    seed: int = 0
    interrupted: bool = False

    # -- what is asked ------------------------------------------------------------------------

    def mean(self, layers: int, width: int, *, at: str = "data") -> Array:
        """Mean outputs of networks, (T, N, k); ``at`` "data" or "new" (the points ``x_new``)."""
        self._warn(layers, width)
        return self._outputs(self._mean(layers, width), at)

    def outputs_std(self, layers: int, width: int, *, at: str = "data") -> Array:
        """Standard deviations of the outputs between networks, (T, N, k)."""
        self._warn(layers, width)
        found = [
            np.sqrt(np.square(self._scatter(t, layers, width)).sum(axis=1)) for t in self._times
        ]
        return self._outputs(np.stack(found), at)

    def loss_mean(self, layers: int, width: int) -> Array:
        """Mean loss of networks, (T,)."""
        self._warn(layers, width)
        return np.array([self._losses(t, layers, width).mean() for t in self._times])

    def loss_quantile(self, q: float, layers: int, width: int) -> Array:
        """The q-quantile of the loss between networks, (T,)."""
        checks.share("q", q)
        self._warn(layers, width)
        return np.array([np.quantile(self._losses(t, layers, width), q) for t in self._times])

    def loss_band(self, layers: int, width: int, *, level: float = 0.95) -> Array:
        """The central interval that holds the loss with probability ``level``, (T, 2)."""
        tail = 0.5 - 0.5 * checks.share("level", level)
        ends = [tail, 1.0 - tail]
        self._warn(layers, width)
        return np.array([np.quantile(self._losses(t, layers, width), ends) for t in self._times])

    def probability(self, loss: float, layers: int, width: int) -> float:
        """P(E <= loss) at the last time."""
        self._warn(layers, width)
        return self._chance(loss, layers, width)

    def size_for(
        self, loss: float, probability: float, *, layers: int | None = None, trusted: bool = True
    ) -> Size:
        """The smallest network with P(E <= loss) >= ``probability`` at the last time.

        The least width at the given depth; without one, the shallowest depth from 4 on whose LM
        is within a quarter of the fewest blocks. Never a size at which the expansion is strained,
        unless ``trusted`` is False (what it would say there is no prediction, but shows whether
        the loss or the expansion decides), nor fewer than four layers.

        Raises ValueError where no width is enough.
        """
        return size_search.size_for(
            self,
            self._chance,
            checks.positive("loss", loss),
            checks.share("probability", probability),
            None if layers is None else checks.count("layers", layers, least=DEPTHS[0]),
            TRUSTED if trusted else np.inf,
        )

    # -- what the result says of itself ---------------------------------------------------------

    def validity(self, layers: int, width: int) -> Array:
        """How far the expansion is strained at this size, (T,): trusted below 0.35.

        The largest of the second-order term over the first (root mean squares over the data), and
        of a third of the deviation of the outputs over the root mean square of the targets or
        outputs; 3.5 times as much for linear blocks. A single layer has its own mean and
        covariance; of two or three layers the expansion in depth knows nothing: inf.
        """
        if 1 < layers < DEPTHS[0]:
            return np.full(len(self.s), np.inf)
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
        found: NDArray[np.bool_] = ~self._strained(layers, width) & known
        return found

    def _strained(self, layers: int, width: int) -> NDArray[np.bool_]:
        """Where deviations are no prediction: strained, or not accurate themselves, (T,)."""
        errors = np.array([each.error for each in self.fluctuations])
        found: NDArray[np.bool_] = (self.validity(layers, width) >= TRUSTED) | (errors > ACCURATE)
        return found

    def _warn(self, layers: int, width: int) -> None:
        """Where the expansion does not hold, whoever asks for a number hears of it."""
        strained = self._strained(layers, width)
        if strained.any():
            times = ", ".join(f"{s:.4g}" for s in self.s[strained])
            warnings.warn(
                f"networks of {layers} layers and width {width} are beyond the expansion about the "
                f"limit at s = {times}, or it is not accurate there: such numbers are no "
                "prediction (see trusted, validity, message)",
                stacklevel=3,
            )

    @property
    def success(self) -> bool:
        """Whether the deviations are accurate to a tenth, and some size can be trusted."""
        return self.status.success

    @property
    def status(self) -> Status:
        """PREDICTED, STRAINED or INTERRUPTED."""
        if self.interrupted:
            return Status.INTERRUPTED
        fine = self.errors["deviation"] <= ACCURATE and self.least_blocks < self.most_blocks
        return Status.PREDICTED if fine else Status.STRAINED

    @property
    def message(self) -> str:
        """How accurate the coefficients are, and for which sizes they may be used."""
        unit = "LM" if self.coupling == "independent" else "M"
        needed = _listed(np.ceil(self.least_at))
        text = (
            f"Deviations are accurate to {self.errors['deviation']:.1%}; the expansion holds from "
            f"four layers and {unit} = {needed} on at s = {_listed(self.s)}, and the limit is "
            f"known well enough up to {unit} = {self.most_blocks:.3g}."
        )
        if self.interrupted:
            return text + " Interrupted: the deviations rest on random probes alone."
        return text if self.success else f"{text} {self.status.text}"

    @property
    def least_at(self) -> Array:
        """The least n = LM or M at which the expansion holds at each time, L large, (T,)."""
        strain = np.array([self._strain(self._deep(t), t) for t in self._times])
        found: Array = np.square(strain / TRUSTED)
        return found

    @property
    def least_blocks(self) -> float:
        """The least n at which the expansion holds at every time."""
        return float(self.least_at.max())

    @cached_property
    def most_blocks(self) -> float:
        """The largest n at which the limit's error is small beside the deviation, L large."""
        deviation = np.array([rms(self._deep(t)[: self._data]) for t in self._times])
        tiny = np.finfo(float).tiny
        return float(np.square(RESOLVED * deviation / np.maximum(self.limit_error, tiny)).min())

    def _strain(self, factor: Array, t: int) -> float:
        deviation = rms(factor[: self._data])
        seen = self.limit[t, : self._data]
        scale = max(float(np.sqrt(np.mean(np.square(v)))) for v in (self.problem.y, seen)) or 1.0
        tiny = np.finfo(float).tiny
        wide = TRUSTED / WIDEST * deviation / scale
        found = max(float(self.spread[t]) / max(deviation, tiny), wide)
        return TAILS * found if isinstance(self.problem.block, Linear) else found

    def save(self, path: PathLike) -> None:
        """Write a file (HDF5), whole or not at all; nothing is lost."""
        finite_file.save(self, path)

    @classmethod
    def load(cls, path: PathLike, *, block: Any = None) -> FiniteSize:
        """Read such a file; a block the package does not know is handed over as ``block``."""
        found: FiniteSize = finite_file.load(cls, path, block)
        return found

    def to_xarray(self) -> Any:
        """Limit, bias and deviations at the data over s as an ``xarray.Dataset``.

        ``limit``, ``of_width`` (c), ``of_depth_1`` and ``of_depth_2`` (a, b) and ``deviation`` (√C
        of infinite depth, to be divided by √n) have the dimensions s, datum, output. Needs the
        extra ``xarray``.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'mfpde[xarray]'") from None
        deviation = np.stack([np.sqrt(np.square(self._deep(t)).sum(axis=1)) for t in self._times])
        a, b = self.of_depth
        rows = {
            "limit": self.limit, "of_depth_1": a, "of_depth_2": b, "of_width": self.second,
            "deviation": deviation,
        }  # fmt: skip
        where = ("s", "datum", "output")
        outputs = {name: (where, self._outputs(value, "data")) for name, value in rows.items()}
        series = {name: ("s", getattr(self, name)) for name in SERIES}
        told = {"status": self.status.name, "coupling": str(self.coupling)}
        return xarray.Dataset({**outputs, **series}, {"s": self.s}, told)

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
        shift = self.of_one if layers == 1 else a / layers + b / layers**2
        return self.limit + shift + self.second / self.blocks(layers, width)

    def _deep(self, t: int) -> Array:
        """A with A Aᵀ = C at infinite depth."""
        found = self.fluctuations[t]
        return found.lift @ root(found.core)

    def _factor(self, t: int, layers: int) -> Array:
        """A with A Aᵀ = C_L, linear in 1/L between those of FEW layers and infinitely many."""
        found, part = self.fluctuations[t], 1.0 / layers
        known = [0.0, *(1.0 / n for n in reversed(FEW))]
        cores = [found.core, *reversed(found.few)]
        k = int(np.searchsorted(known, part))
        share = (part - known[k - 1]) / (known[k] - known[k - 1])
        return found.lift @ root((1.0 - share) * cores[k - 1] + share * cores[k])

    def _scatter(self, t: int, layers: int, width: int) -> Array:
        """A with A Aᵀ = C_L/n + B Bᵀ/n²."""
        n = self.blocks(layers, width)
        return np.hstack([self._factor(t, layers) / np.sqrt(n), self.bend[t] / n])

    def _outputs(self, rows: Array, at: str) -> Array:
        checks.choice("at", at, ("data", "new"))
        end = rows.shape[1] - bool(self.problem.penalty)
        which = rows[:, : self._data] if at == "data" else rows[:, self._data : end]
        if which.shape[1] == 0:
            raise ValueError("at='new' needs x_new, which finite_size was not given")
        return which.reshape(len(rows), -1, self.problem.outputs)

    @cached_property
    def _normal(self) -> Array:
        """The draws ξ, mirrored so that odd moments vanish, (DRAWS, columns of A)."""
        most = max(found.lift.shape[1] for found in self.fluctuations) + self.bend.shape[2]
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(11,)))
        half = rng.standard_normal((DRAWS // 2, most))
        return np.concatenate([half, -half])

    def _chance(self, loss: float, layers: int, width: int) -> float:
        return float(np.mean(self._losses(len(self.s) - 1, layers, width) <= loss))

    def _losses(self, t: int, layers: int, width: int) -> Array:
        """E of draws from the law of the rows, (DRAWS,)."""
        problem, rows = self.problem, self._data
        factor = self._scatter(t, layers, width)
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


def _listed(values: Array) -> str:
    """Numbers in a sentence, the middle ones of many left out."""
    texts = [f"{value:.4g}" for value in values]
    return ", ".join(texts if len(texts) <= 6 else [*texts[:3], "…", texts[-1]])


def rms(factor: Array) -> float:
    """Root mean square over rows of the deviations √C_ii."""
    return float(np.sqrt(np.square(factor).sum() / max(len(factor), 1)))
