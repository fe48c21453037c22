PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
TESTS = tests
# pytest-xdist 3.8 waits for ever after it has replaced a worker that crashed; without replacing one,
# it names the test and ends.
PARALLEL = --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder \
	--max-worker-restart 0

.PHONY: train test narrow faults spark docs lint explorer clean

# Trains on the embedded data set, evaluates and exports; goes on where an interrupted run stopped.
train: $(VENV)/installed
	$(BIN)/python -m tfrs_timirec.train --config configs/synthetic.yaml --resume --export models

# The quick ones. XLA compiles in less time so, and the tests compile more than they compute.
test: $(VENV)/installed
	XLA_FLAGS=--xla_backend_optimization_level=0 $(BIN)/python -m pytest $(PARALLEL) \
		--hypothesis-profile quick -m "not (long or faults or site or spark)" $(TESTS)

# All that need nothing but the environment, compiled as for users, but without the processor's
# widest vector units, whose sums come in another order; those in 16 bits cannot be (tests/halves.py).
narrow: $(VENV)/installed
	XLA_FLAGS=--xla_cpu_max_isa=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest \
		$(PARALLEL)

# Kills, full disks, damaged files and odd settings: each step of each command.
faults: $(VENV)/installed
	$(BIN)/python -m pytest tests/faults -m "faults or not faults"

# What Spark prepares and recommends, on two cores of this machine; Java compiles less, and starts
# sooner.
spark: $(VENV)/installed
	JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=1 $(BIN)/python -m pytest -m spark \
		tests/data/test_spark.py tests/test_recommend_spark.py

# The site, in site/; it executes the tutorial.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(BIN)/python -m pytest tests/test_docs.py -m site

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Builds the explorer's page of its sources; what is built is committed, so that only who changes it
# needs npm.
explorer:
	cd tfrs_timirec/explorer/page && npm ci --no-audit --no-fund && npm run build

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
		f"Python 3.11, 3.12 or 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12, for instance.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

clean:
	rm -rf $(VENV) runs data models site
