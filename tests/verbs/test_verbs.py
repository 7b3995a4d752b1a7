"""Every public verb on every kind of measure: right against plain NumPy, or refused in a sentence.

``TABLE`` is the table of docs/measures.md. A verb or measure without its row or column fails.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from rooms import public
from verbs import checks, rated
from verbs.measures import MEASURES, problem

import mfpde
from mfpde import measures, theory, transport

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"": mfpde, "theory.": theory, "transport.": transport}

# A verb's cells: "yes" (checked by verbs.checks), or a word of the sentence that refuses.
LAYERED = {"particles": "yes", "weighted": "yes", "grid": "yes", "moving": "yes"}
JOINTS = {"joint": "yes", "joint_grid": "yes", "ordered": "yes"}
NO_LAW = {
    "joint": "use rho.to_particles()",
    "joint_grid": "use a GridMeasure",
    "ordered": "use a JointMeasure",
}
NO_GRID = {"grid": "use rho.to_particles()"}
EVERY = {**LAYERED, **JOINTS}
ON_LAWS = {**LAYERED, **NO_LAW}
PARTICLES_ONLY = {**ON_LAWS, **NO_GRID}
NO_COT = {"joint": "yes", "joint_grid": "joint_distance", "ordered": "joint_distance"}
TRANSPORTED = {**LAYERED, **NO_COT}
UNEQUAL = dict.fromkeys(("weighted", "grid", "moving"), "equal weights")

TABLE: dict[str, dict[str, str]] = {
    "predict": EVERY,
    "loss": EVERY,
    "evaluate": EVERY,
    "gradient": {**EVERY, "grid": "first_variation", "joint_grid": "first_variation"},
    "first_variation": EVERY,
    "trajectories": EVERY,
    "solve": EVERY,
    "resume": EVERY,
    "stationary": dict.fromkeys(MEASURES, "GridMeasure") | {"grid": "yes"},
    "hessian_product": dict.fromkeys(MEASURES, "ParticleMeasure")
    | {"particles": "yes", "weighted": "yes", "moving": "yes"},
    "theory.tangent_kernel": EVERY,
    "theory.tangent_operator": EVERY,
    "theory.kernel_spectrum": EVERY,
    "theory.kernel_evolution": EVERY,
    "theory.depth_kernel": ON_LAWS,
    "theory.lipschitz": ON_LAWS,
    "theory.polyak_lojasiewicz": ON_LAWS,
    "theory.envelope": ON_LAWS,
    "theory.stationarity": ON_LAWS,
    "theory.insert": ON_LAWS,
    "theory.escape": ON_LAWS,
    "theory.separation": PARTICLES_ONLY,
    "theory.certificate": PARTICLES_ONLY,
    "theory.sublevel_certificate": PARTICLES_ONLY,
    "theory.shallow_comparison": PARTICLES_ONLY,
    "cot_distance": TRANSPORTED,
    "conditional_transport": TRANSPORTED,
    "transport.uniform_distance": TRANSPORTED,
    "transport.joint_distance": EVERY,
    "transport.as_measure": TRANSPORTED,
    "transport.marginal_distance": TRANSPORTED,
    "transport.barycentre": TRANSPORTED,
    "transport.path_length": TRANSPORTED,
    "transport.metric_speed": TRANSPORTED,
    "transport.depth_regularity": TRANSPORTED,
    "transport.sample_distance": {**TRANSPORTED, **UNEQUAL, "joint": "2 atoms"},
}

# How a verb meets a problem's rates: in their metric (✓, checked by verbs.rated), by an argument
# of its own, or not at all.
IN_METRIC = {
    "gradient", "solve", "resume", "hessian_product", "theory.tangent_kernel",
    "theory.tangent_operator", "theory.kernel_spectrum", "theory.kernel_evolution",
    "theory.depth_kernel", "theory.polyak_lojasiewicz", "theory.envelope",
    "theory.shallow_comparison", "theory.certificate", "theory.sublevel_certificate",
}  # fmt: skip
BY_ARGUMENT = {
    "cot_distance", "conditional_transport", "transport.uniform_distance",
    "transport.joint_distance", "transport.path_length", "transport.metric_speed",
}  # fmt: skip
UNREAD = {
    *rated.FREE, "stationary", "theory.insert", "theory.escape",  # which asks ``solve``
    "transport.as_measure", "transport.marginal_distance", "transport.barycentre",
    "transport.depth_regularity", "transport.sample_distance",
}  # fmt: skip
RATES = (
    dict.fromkeys(UNREAD, "–")
    | dict.fromkeys(IN_METRIC, "✓")
    | dict.fromkeys(BY_ARGUMENT, "`rates=`")
)

# Verbs of other things than a measure: blocks, laws, runs, numbers.
OTHERS = {
    "check_block", "limit", "warmup", "finite_size", "sensitivity",
    "theory.adjoint_bounds", "theory.assumptions", "theory.conserved_spectra",
    "theory.fit_finite_size", "theory.homogeneity",
    "theory.fit_loss_law", "theory.fit_rate", "theory.gradient_domination", "theory.linear_bound",
    "theory.linear_closure", "theory.linear_margin", "theory.linear_multiplier",
    "theory.linear_rate", "theory.linear_scalar", "theory.required_size",
    "transport.geodesic", "transport.tangent_field",  # of a CotResult
}  # fmt: skip
TWICE = {"transport.cot_distance", "transport.conditional_transport"}
CELLS = [(verb, kind, word) for verb, row in TABLE.items() for kind, word in row.items()]


def test_every_public_verb_has_its_row():
    verbs = {
        prefix + name
        for prefix, room in ROOMS.items()
        for name in public(room)
        if inspect.isroutine(getattr(room, name))
    }
    assert verbs - TWICE == set(TABLE) | (OTHERS & verbs)


def test_every_measure_has_its_column():
    kinds = {build().kind for build in MEASURES.values()}
    assert kinds == set(measures.MEASURES)
    assert all(set(row) == set(MEASURES) for row in TABLE.values())


@pytest.mark.parametrize(
    ("verb", "kind"), [(verb, kind) for verb, kind, word in CELLS if word == "yes"]
)
def test_works(verb, kind, tmp_path):
    getattr(checks, verb.replace(".", "_"))(MEASURES[kind](), tmp_path)


@pytest.mark.parametrize(("verb", "kind", "word"), [cell for cell in CELLS if cell[2] != "yes"])
def test_refuses_in_one_sentence(verb, kind, word, tmp_path):
    with pytest.raises((TypeError, ValueError)) as caught:
        checks.call(verb, MEASURES[kind](), tmp_path)
    message = str(caught.value)
    assert word in message
    assert "\n" not in message


@pytest.mark.parametrize("kind", MEASURES)
@pytest.mark.parametrize("verb", rated.NUMBERS)
def test_rates_are_a_change_of_variables(verb, kind):
    if TABLE[verb][kind] != "yes":
        return  # refused above
    rho, numbers = MEASURES[kind](), rated.NUMBERS[verb]
    found = flat(numbers(problem(rates=rated.ETA), rho, rated.ETA))
    expected = flat(numbers(rated.other(), rated.scaled(rho), None))
    checks.close(found, expected, 1e-9)
    if verb not in ("resume", "gradient", "hessian_product"):  # which show it by the flow alone
        assert np.abs(found - flat(numbers(problem(), rho, None))).max() > 1e-7


def flat(numbers):
    parts = numbers if isinstance(numbers, list) else [numbers]
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.parametrize("kind", MEASURES)
@pytest.mark.parametrize("verb", rated.FREE)
def test_what_no_metric_changes(verb, kind):
    if TABLE[verb][kind] == "yes":
        rho, numbers = MEASURES[kind](), rated.FREE[verb]
        checks.close(numbers(problem(rates=rated.ETA), rho), numbers(problem(), rho), 1e-14)


def test_every_verb_says_what_it_makes_of_rates():
    assert set(RATES) == set(TABLE)
    assert set(rated.NUMBERS) == IN_METRIC | BY_ARGUMENT
    signed = {name for name in TABLE if "rates" in inspect.signature(of(name)).parameters}
    assert signed - {"solve"} == BY_ARGUMENT


def of(name):
    prefix, _, verb = name.rpartition(".")
    return getattr(ROOMS[prefix + "." if prefix else ""], verb)


def test_the_table_of_the_docs_is_this_one():
    lines = [f"| verb | {' | '.join(MEASURES)} | rates |", f"|---|{'---|' * (len(MEASURES) + 1)}"]
    for verb, row in TABLE.items():
        cells = (("✓" if row[kind] == "yes" else "refused") for kind in MEASURES)
        lines.append(f"| `{verb}` | {' | '.join(cells)} | {RATES[verb]} |")
    text = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    assert "\n".join(lines) in text
