# Conveniences: each target sets up what it needs, once. Plain `pip install` and `snakemake` work as well (README).
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin

.PHONY: demo test lint schema benchmark rehearse

REHEARSED := flare22_10pct amos_10pct amos_5pct synapse_20pct btcv_10pct mmwhs_10pct la_8 pancreas_12 brats19_25

demo: .venv/installed
	@echo "The demo: six rows on synthetic scans, under five minutes of processor time. All details: .snakemake/log"
	@$(BIN)/snakemake --cores $(CORES) results/demo.csv
	@$(BIN)/semiseg show results/demo.csv

test: lint
	$(BIN)/pytest --numprocesses logical --dist loadfile --ignore tests/slurm
	$(BIN)/pytest tests/slurm  # a machine holds one cluster

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

# One table of every dataset and protocol on stand-ins, end to end.
rehearse: .venv/installed
	for table in $(REHEARSED); do $(BIN)/semiseg rehearse $$table --cores $(CORES) || exit 1; done

# Written anew after a change of src/semiseg/config.py; a test fails when it was forgotten.
schema: .venv/installed
	$(BIN)/python -m semiseg schema > workflow/schemas/params.schema.json

benchmark: .venv/installed
	$(BIN)/python benchmarks/metrics_vs_medpy.py
	$(BIN)/python benchmarks/store_crops.py
	$(BIN)/python benchmarks/guidednet_vs_cps.py
	$(BIN)/python benchmarks/prepare_vs_guidednet.py
	$(BIN)/python benchmarks/crops_vs_gzip.py
	$(BIN)/python benchmarks/distance_vs_scipy.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
