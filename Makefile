PYTHON ?= python3.11
BIN = .venv/bin
PARALLEL = --numprocesses auto --maxprocesses 4 --dist loadgroup

.PHONY: train test narrow faults lint clean

# Trains on the embedded data set, evaluates and exports; goes on where an interrupted run stopped.
train: .venv/installed
	$(BIN)/python -m tfrs_timirec.train --config configs/synthetic.yaml --resume --export models

test: .venv/installed
	$(BIN)/python -m pytest $(PARALLEL)

# The tests once more without the processor's widest vector units, whose sums come in another order.
narrow: .venv/installed
	XLA_FLAGS=--xla_cpu_max_isa=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest \
		$(PARALLEL)

# Kills, full disks, damaged files and odd settings: each step of each command.
faults: .venv/installed
	$(BIN)/python -m pytest tests/faults -m "faults or not faults"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

clean:
	rm -rf .venv runs data models
