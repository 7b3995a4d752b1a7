# Two commands do all the set-up on a fresh machine with Python >= 3.11:
#   make validate    the main job: real digits to zero loss, finite networks beside the limit
#   make test        lint, types and tests
#   make campaign    hostile input, damaged files, kills: hours; SHARE=0.1 for a part of it
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TORCH  := torch==2.13.0
export MPLBACKEND := Agg

.PHONY: validate test lint check campaign docs notebooks figures package oldest bench clean

$(VENV)/core: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[validation]'
	touch $@

$(VENV)/test: $(VENV)/core
	$(BIN)/python -m pip install --quiet $(TORCH) || echo "no torch here: its tests are skipped"
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

validate: $(VENV)/core
	$(BIN)/python validation/zero_loss.py
	$(BIN)/python figures/zero_loss.py

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --follow-imports=silent tests/user_program.py

check: $(VENV)/test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test: lint check

SHARE ?= 1
campaign: $(VENV)/test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
	  $(BIN)/python tests/campaign/everything.py --share $(SHARE)

# Incremental: an example is run again when it changed. Warnings are errors.
$(VENV)/docs: $(VENV)/core
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

docs: $(VENV)/docs
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
	  $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html

figures: $(VENV)/test
	$(BIN)/python figures/all_figures.py

# Three examples of the tour as notebooks, run, in docs/_build/notebooks.
notebooks: $(VENV)/docs
	$(BIN)/python docs/notebooks.py

# The wheel and the archive of sources, and README's Python from the wheel in an empty environment.
package: $(VENV)/test
	$(BIN)/python -m pip install --quiet build twine
	rm -rf dist build/empty
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip install --quiet dist/*.whl
	cd build/empty && bin/python $(CURDIR)/tests/packaged.py $(CURDIR)/README.md

# The tests with the oldest versions of the dependencies that pyproject.toml admits.
oldest:
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python -m pip install --quiet --editable '.[test]' \
	  $$($(PYTHON) tests/oldest.py pyproject.toml)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
	  build/oldest/bin/python -m pytest -n 2

# FULL=--full adds what takes many minutes more.
bench: $(VENV)/test
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	for threads in 1 2; do for script in particles tangent_kernel; do \
	  $(BIN)/python benchmarks/$$script.py --threads $$threads $(FULL) || exit 1; done; done
	for ranks in 1 2; do $(BIN)/mpiexec -n $$ranks $(BIN)/python benchmarks/mpi.py || exit 1; done
	for script in threads activations limit limit_width implicit dual grid particle_mesh resnet_gpu; do \
	  $(BIN)/python benchmarks/$$script.py $(FULL) || exit 1; done

clean:
	rm -rf $(VENV) out build dist docs/_build docs/tour_pages docs/reference docs/scripts.md docs/tour/*.gif *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
