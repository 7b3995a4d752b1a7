"""A sample of the hostile calls of ``signatures.py``, another one at each run."""

from collections import Counter

import numpy as np
import pytest
import signatures

CALLS = 2500
ALLOWED = 0.01  # of the calls may end in an error that names nothing


@pytest.fixture(autouse=True)
def _as_users_run(tmp_path, monkeypatch):
    """Floating-point errors as NumPy sets them, and files where they are swept away."""
    monkeypatch.chdir(tmp_path)
    with np.errstate(all="ignore"):
        yield


@pytest.mark.filterwarnings("ignore")
def test_no_hostile_call_is_silent_and_hardly_any_unclear():
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")  # shown where the test fails
    seen = [(case, *signatures.judge(case)) for case in signatures.sample(CALLS, seed)]
    counts = Counter(kind for _, kind, _ in seen)
    for case, kind, text in seen:
        if kind in ("silent", "hang", "unclear"):
            print(f"{kind} {case.function}({case.argument}={case.label}): {text}")
    assert counts["silent"] == counts["hang"] == 0
    assert counts["unclear"] <= ALLOWED * CALLS
    assert counts["clear"] > CALLS / 2


def test_every_public_verb_checks_its_signature():
    unchecked = []
    for name, function in signatures.functions().items():
        verb = getattr(function, "__init__", None) if isinstance(function, type) else function
        if signatures.parameters(function) and not hasattr(verb, "__wrapped__"):
            unchecked.append(name)
    assert unchecked == []  # @mfpde.checks.typed above its def


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", signatures.functions())
def test_the_calls_are_valid_before_one_argument_is_replaced(name):
    signatures.functions()[name](**signatures.valid(name))
