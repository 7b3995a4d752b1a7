"""The Triton kernels: run by its interpreter, and compiled for a GPU that need not be there."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

INTERPRET = textwrap.dedent(
    """
    import sys
    sys.path[:0] = [{here!r}, {tests!r}]
    import numpy as np
    from networks import random_problem, random_start, relative
    import mfpde
    from mfpde.resnet.engines.fused import Fused
    from mfpde.resnet.engines.particles import Particles

    rows = np.array([[0, 2], [3, 1]])
    for activation, bias, loss, which in (
        ("tanh", True, "squared", None), ("tanh", False, "cross_entropy", rows),
        ("gelu", False, "squared", rows), ("sigmoid", True, "squared", None),
        ("silu", False, "squared", None), ("relu", True, "cross_entropy", None),
    ):
        block = mfpde.SHL(3, activation, bias=bias)
        problem, start = random_problem(block, loss), random_start(block, width=300)
        start[..., 3:] *= 10.0 ** np.random.default_rng(0).uniform(-3, 0.5, (300, 1))
        for dtype, tolerance in (("float64", 2e-13), ("float32", 2e-6)):
            exact = Particles(problem, "float64").gradient(start, which)
            fused = Fused(problem, dtype, "cpu")
            found = fused.gradient(fused.load(start), which)
            assert relative(fused.unload(found.slope), exact.slope) < tolerance
            assert relative(fused.numpy(found.outputs), exact.outputs) < tolerance
            loss, outputs = fused.evaluate(fused.load(start), which)
            assert relative(fused.numpy(outputs), exact.outputs) < tolerance
    print("agreed")
    """
)

COMPILE = textwrap.dedent(
    """
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from mfpde.kernels import fused

    pointers = {"forward": 3, "adjoint": 4, "gradient": 4}
    for name, count in pointers.items():
        kernel = getattr(fused, name)
        how = {"D": 10, "ROWS": 16, "BM": 64, "BIAS": 1, "CODE": 0}
        kinds = ["*fp32"] * count + ["i32"] * 3 + ["constexpr"] * len(how)
        source = ASTSource(kernel, dict(zip(kernel.arg_names, kinds)), how)
        made = compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
        assert len(made.asm["cubin"]) > 1000, name
    print("compiled")
    """
)


def python(code, **environment):
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_kernels_agree_with_the_particles_in_the_interpreter():
    here = Path(__file__).parent
    code = INTERPRET.format(here=str(here), tests=str(here.parent))
    done = python(code, TRITON_INTERPRET="1")
    assert done.stdout.strip() == "agreed", done.stderr


def test_kernels_compile_for_a_gpu(tmp_path):
    script = tmp_path / "kernels.py"  # triton reads the source of what it compiles
    script.write_text(COMPILE)
    done = python(f"import runpy; runpy.run_path({str(script)!r})", TRITON_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == "compiled", done.stderr
