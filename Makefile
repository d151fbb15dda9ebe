# Conveniences: each target sets up what it needs, once. Plain `pip install` and `snakemake` work as well (README).
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin

.PHONY: demo test tests quick steps properties kills lowest newest lint schema benchmark rehearse

REHEARSED := flare22_10pct amos_10pct amos_5pct synapse_20pct btcv_10pct mmwhs_10pct la_8 pancreas_12 brats19_25

# The page is the target: git brings the texts of the demo's table, so that the table alone would count as made.
demo: .venv/installed
	@echo "The demo: six rows on synthetic scans, about four to five minutes of processor time. All details: .snakemake/log"
	@$(BIN)/snakemake --cores $(CORES) results/demo.html
	@$(BIN)/semiseg show results/demo.csv

# Everything, with the pinned versions. Linters and types run beside the tests, which wait for SLURM and for locks at times.
# One worker has all tests on SLURM, because a machine holds one cluster.
test: .venv/installed
	@$(MAKE) --no-print-directory --jobs 2 tests lint

tests: .venv/installed
	$(BIN)/pytest --numprocesses 3 --no-loadscope-reorder

# For everyday work: without the tests that take long (tests/conftest.py).
quick: lint
	$(BIN)/pytest --numprocesses logical --no-loadscope-reorder -m "not slow"

# Twenty kills -9 at random moments of the demo, compared with an undisturbed build.
kills: .venv/installed
	$(BIN)/python benchmarks/kills.py demo --kills 20

# Whole training steps against the official scripts, runs of several steps too; the tests take the single steps alone.
steps: .venv/installed
	$(BIN)/pytest tests/steps --steps-dir tests/steps/cases

# Tests of what depends on the versions of libraries and of Python, without those that start many processes.
QUICK := $(filter-out %/test_bad_input.py %/test_bad_sources.py %/test_download.py %/test_importing.py, \
	$(wildcard $(patsubst %,tests/%/test_*.py,data params scoring))) \
	tests/graph/test_requirements.py tests/jobs/test_code_hash.py tests/learning/test_inference.py tests/report/test_views.py

# The quick tests with the lowest versions that pyproject.toml allows, and with the newest Python of this machine.
lowest newest: .venv/installed
	$(BIN)/python .ci/versions $@ $(QUICK)

# 5,000 random raw cases, each refused or measured as by hand. The tests run 300 of them.
properties: .venv/installed
	SEMISEG_RANDOM_CASES=5000 $(BIN)/pytest tests/stages/test_raw_to_score.py

lint: .venv/installed
	$(BIN)/ruff check . .ci/versions
	$(BIN)/ruff format --check . .ci/versions
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/lint-imports

# One table of every dataset and protocol on stand-ins, end to end.
rehearse: .venv/installed
	for table in $(REHEARSED); do $(BIN)/semiseg rehearse $$table --cores $(CORES) || exit 1; done

# Written again after a change in src/semiseg/params; a test fails when this was forgotten.
schema: .venv/installed
	$(BIN)/python -m semiseg schema > workflow/schemas/params.schema.json
	$(BIN)/python -m semiseg schema --markdown > docs/params.md

benchmark: .venv/installed
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/sliding_window.py
	$(BIN)/python benchmarks/store_crops.py
	$(BIN)/python benchmarks/guidednet_vs_cps.py
	$(BIN)/python benchmarks/prepare_vs_guidednet.py
	$(BIN)/python benchmarks/crops_vs_gzip.py
	$(BIN)/python benchmarks/distance_vs_scipy.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
