"""How a run ended; the text of each failure says what to do about it."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """Value: (is a success, text). Texts of failures are remedies."""

    RUNNING = (False, "The run is not finished: continue it with mfpde.resume(path).")
    END_REACHED = (True, "Training time s_end was reached.")
    LOSS_REACHED = (True, "The loss fell below loss_below.")
    STATIONARY = (
        True,
        "The loss is zero to rounding: nothing is left to train.",
    )
    AT_REST = (
        False,
        "The flow has come to rest above loss_below: the data contradict each other, the network "
        "is too small, or this is a bad stationary point (see mfpde.theory.stationarity and "
        "mfpde.theory.escape).",
    )
    GOAL_MISSED = (
        False,
        "Training time s_end was reached before the loss fell below loss_below: go on with "
        "mfpde.resume(path, s_end=...), or use s_end=inf.",
    )
    STOPPED = (True, "A callback asked to stop.")
    INTERRUPTED = (
        False,
        "Interrupted: the last accepted state is kept. With checkpoint=path, continue it with "
        "mfpde.resume(path).",
    )
    NOT_WRITTEN = (
        False,
        "The run file could not be written, and the run has ended: the file holds the last whole "
        "checkpoint, this solution all of the run. Make room and use save(path).",
    )
    UNSTABLE = (
        False,
        "The step left the stability interval of the method (the tangent kernel grew during "
        "training): a longer run would return a wrong curve. Use a smaller step, "
        "method='rk45' (error control) or method='implicit' (no stability limit).",
    )
    LOSS_ROSE = (
        False,
        "The loss rose in a step of fixed size, which a gradient flow never does: use a smaller "
        "step, method='rk45' or method='implicit'.",
    )
    INACCURATE = (
        False,
        "The end was reached, but the default step of this fixed-step method made errors of more "
        "than 5 % of the loss, as sol.error estimates. Use method='auto' or 'rk45' (error "
        "control), or a smaller step=.",
    )
    STEP_TOO_SMALL = (
        False,
        "The step size fell below rounding without meeting rtol or without lowering the loss: "
        "the flow is stiffer or rougher than rtol allows. Use method='implicit', a larger rtol, "
        "or a smooth activation.",
    )
    NON_FINITE = (
        False,
        "The state became NaN or infinite; the last finite state is kept. Use a smaller step, "
        "an adaptive method ('rk45', 'implicit'), or scale the data and the initial law down.",
    )
    DIVERGED = (
        False,
        "The loss of a network ended at more than ten times its start, and than that of zero "
        "outputs: the step is too long. Use a smaller step.",
    )
    MAX_STEPS = (
        False,
        "max_steps steps were taken before s_end. Increase max_steps, or use a method with "
        "longer steps ('implicit').",
    )

    TOLERANCE_MET = (True, "The error estimate is within rtol.")
    TOLERANCE_MISSED = (
        False,
        "The error estimate is above rtol and the largest sizes are reached: use a larger rtol.",
    )
    BUDGET_SPENT = (
        False,
        "max_seconds or max_work is spent: the best result so far is kept.",
    )

    PREDICTED = (True, "The deviations are accurate to a tenth, and some sizes can be trusted.")
    STRAINED = (
        False,
        "The expansion about the limit holds for no size at which the limit is known well enough, "
        "or its deviations are not accurate to a tenth: take more particles, or probes, or an "
        "earlier time.",
    )

    CONVERGED = (True, "The state is its own Gibbs state to tol in total variation.")
    NOT_CONVERGED = (
        False,
        "max_steps were taken before tol was met: use method='newton', continuation=True, or "
        "(under method='picard') less damping; at a small temperature Picard diverges for any "
        "practical damping.",
    )
    STALLED = (
        False,
        "No step lowered the free energy any more before tol was met: tol is below rounding, or "
        "the temperature is too small for the cells; use a larger tol, a finer grid or "
        "continuation=True.",
    )

    @property
    def success(self) -> bool:
        return self.value[0]

    @property
    def raises(self) -> bool:
        """Whether it is an error: a failure of the run itself, none of its goal or its file."""
        mild = (Status.INTERRUPTED, Status.GOAL_MISSED, Status.NOT_WRITTEN)
        return not self.success and self not in mild

    @property
    def text(self) -> str:
        return self.value[1]


class SolveError(RuntimeError):
    """A run failed; ``solution`` holds everything up to the last good state."""

    def __init__(self, solution: object, message: str) -> None:
        super().__init__(message)
        self.solution = solution
