PYTHON ?= python3.11
BIN = .venv/bin

.PHONY: train test lint clean

# Trains on the embedded data set, evaluates and exports; goes on where an interrupted run stopped.
train: .venv/installed
	$(BIN)/python -m tfrs_timirec.train --config configs/synthetic.yaml --resume --export models

test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

clean:
	rm -rf .venv runs data models
