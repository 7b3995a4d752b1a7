"""How deep and wide a network must be for a small loss with high probability.

Theorem (Ding, Chen, Li, Wright 2021, Theorems 6, 7). With L >= C/eps, M >= C/(eps^2 eta) the loss
of a trained ResNet is within eps of the limit's with probability 1 - eta, and the limit, with a
decaying regulariser e^{-s}|theta|^2, reaches zero loss. Sharper since (Chizat 2025): errors are
O(1/L + 1/sqrt(LM)), so that L M, not M, has to be of order 1/eps^2.

Here. sin(pi x) on 16 points, lifted to d = 2, standard Gaussian parameters.
 (a) P(E <= eps) at a fixed training time s, for L = 2..32, M = 2..64 by Monte Carlo with
     Clopper-Pearson intervals, eps = (1 + margin) times the limit's loss at the same s;
 (b) the law of log E over (L, M): exponents of its scatter and of its bias, and the frontier
     L M*(eps, eta), where probability reaches 1 - eta, against both shapes;
 (c) the same scatter from tied layers, one draw repeated over depth: the start of Ding et al.;
 (d) mfpde.theory.required_size, which trains no network, against fresh networks, both couplings;
 (e) the limit to E = 1e-8 with and without the decaying regulariser.

Prediction: scatter L^{-1/2} M^{-1/2} from independent layers, for which the theorem's width rate is
not sharp; M^{-1/2} at every depth from tied ones, for which it cannot be improved to LM. Bias 1/L;
L M* falls with slope -2 in eps minus what the limit and depth leave; the theorem's sizes suffice,
by a factor. Takes 4 minutes on one core, --quick 20 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import frontier
import numpy as np
import study
from study import Claim, Sizes

from mfpde.runs.progress import track
from mfpde.theory import fit_loss_law

FULL = {"count": 16, "seeds": 200, "s_end": 20.0, "step": 0.25, "particles": 4096, "checks": 400}
FULL |= {"layers": (2, 4, 8, 16, 32), "widths": (2, 4, 8, 16, 32, 64), "etas": (0.05, 0.2)}
FULL |= {"tied_layers": (4, 8, 16, 32), "tied_widths": (8, 16, 32, 64), "goal": 1e-8}
FULL |= {"margins": (0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2)}
FULL |= {"cases": ((0.1, 0.05), (0.05, 0.05), (0.05, 0.2))}
QUICK = {"count": 8, "seeds": 100, "s_end": 5.0, "particles": 1024, "checks": 150}
QUICK |= {"layers": (4, 8, 16), "widths": (2, 4, 8, 16), "cases": ((0.15, 0.05),), "goal": 1e-4}
QUICK |= {"tied_layers": (4, 8, 16), "tied_widths": (4, 8, 16)}
QUICK |= {"margins": (0.06, 0.08, 0.1, 0.15, 0.2, 0.3)}


def measure(size: Sizes, out: Path) -> list[Claim]:
    problem, seeds = study.sine(size.count), range(size.seeds)
    limit, uncertainty = frontier.limit_loss(problem, size)
    study.say(f"limit: E = {limit:.6f} at s = {size.s_end:g}, uncertain by {uncertainty:.1e}")
    shapes = study.shapes_of(size.layers, size.widths)
    tied_shapes = study.shapes_of(size.tied_layers, size.tied_widths)
    found = frontier.losses(problem, track(shapes, "networks"), seeds, size)
    tied = frontier.losses(problem, track(tied_shapes, "tied"), seeds, size, "tied")
    both = {"independent": (shapes, found), "tied": (tied_shapes, tied)}
    bias = frontier.write_losses(out, both, limit, size)

    fitted = [i for i, shape in enumerate(shapes) if shape[0] >= 4 and np.prod(shape) >= 16]
    law = fit_loss_law(*np.array(shapes, float)[fitted].T, found[fitted])
    rows = frontier.crossings(shapes, found, limit, law, size)
    (_, of_width), asked = frontier.write_frontier(out, rows, limit, law, size)
    predictions = frontier.predict(problem, limit, size)
    frontier.write_needed(out, predictions, limit, of_width)
    ends = frontier.regularised(out, problem, size.goal)
    study.table(("eta", "margin", "L", "room", "LM*", "LM* by law"), rows)
    study.say("\n" + "\n".join(str(one) for one, _, _ in predictions))

    power = {name: frontier.scatter_exponents(*each) for name, each in both.items()}
    of_bias = study.slope(*np.array([row for row in bias if row[0] >= 4]).T)
    room, measured, by_law = np.array(rows)[:, 3:].T
    ratio = measured / by_law
    waste = max(asked, key=lambda row: row[3] / row[4])
    return [
        Claim(
            "From independent layers the loss scatters like 1/sqrt(LM).",
            "standard deviation of log E ~ L^{:.3f} M^{:.3f}; ".format(*power["independent"])
            + f"the fitted law's residuals have spread {law.spread.min():.2f} to "
            f"{law.spread.max():.2f}, 1 expected.",
            all(study.near(one, -0.5, 0.2) for one in power["independent"]),
        ),
        Claim(
            "From tied layers, the theorem's start, it scatters like 1/sqrt(M) at every depth.",
            "standard deviation of log E ~ L^{:.3f} M^{:.3f}.".format(*power["tied"]),
            abs(power["tied"][0]) <= 0.1 and study.near(power["tied"][1], -0.5, 0.2),
        ),
        Claim(
            "Depth biases the loss like 1/L.",
            f"slope {of_bias:.3f} from L = 4.",
            study.near(of_bias, -1.0),
        ),
        Claim(
            "The frontier of P(E <= eps) = 1 - eta is where 1/L and 1/sqrt(LM) put it.",
            f"LM* over the law's: median {np.median(ratio):.2f}, {ratio.min():.2f} to "
            f"{ratio.max():.2f} over {len(ratio)} crossings, LM* = {measured.min():.0f} to "
            f"{measured.max():.0f}, slope {study.slope(room, measured):.2f} in the room of width.",
            abs(np.median(ratio) - 1) <= 0.15 and bool(np.all(np.abs(np.log(ratio)) <= np.log(2))),
        ),
        Claim(
            "The theorem's sizes suffice, with constants from the easiest case alone.",
            f"{len(asked)} cases; at eta = {waste[0]:g}, margin {waste[1]:g}, L = {waste[2]} "
            f"it asks for M = {waste[3]:.0f}, measured {waste[4]:.0f}.",
            all(row[3] >= 0.999 * row[4] for row in asked),
        ),
        Claim(
            "Predicted sizes reach the probability asked for, and a quarter of them does not.",
            "; ".join(map(frontier.shown, predictions)),
            all(full[2] >= 1 - one.eta > quarter[2] for one, full, quarter in predictions),
        ),
        Claim(
            f"The limit reaches E = {size.goal:g} with and without the decaying regulariser.",
            ", ".join(f"{name}: {e:.1e} at s = {s:.4g}" for name, (e, s) in ends.items()),
            max(e for e, _ in ends.values()) <= size.goal,
        ),
    ]


main = study.script(__doc__, measure, FULL, QUICK)

if __name__ == "__main__":
    sys.exit(main())
