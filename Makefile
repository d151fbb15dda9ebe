# Conveniences: each target sets up what it needs, once. Plain `pip install` and `snakemake` work as well (README).
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
PEERS := .venv-peers
# Hundreds of processes start in a run of the tests; without compiled files each compiles the source anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test tests axe quick steps properties kills lowest newest lint schema counts benchmark rehearse

REHEARSED := flare22_10pct amos_10pct amos_5pct synapse_20pct plbopt_t9 btcv_10pct mmwhs_10pct la_8 pancreas_12 brats19_25

# The page is the target: git brings the texts of the demo's table, so that the table alone would count as made.
demo: .venv/installed
	@echo "The demo: six rows on synthetic scans, about four to five minutes of processor time. All details: .snakemake/log"
	@$(BIN)/snakemake --cores $(CORES) results/demo.html
	@$(BIN)/semiseg show results/demo.csv

# Everything, with the pinned versions. Linters and types run beside the tests, which wait for SLURM and for locks at times.
# One worker has all tests on SLURM, because a machine holds one cluster.
test: .venv/installed
	@$(MAKE) --no-print-directory --jobs 2 tests lint

tests: .venv/installed axe
	$(BIN)/pytest --numprocesses 3 --no-loadscope-reorder

# The checker of accessibility for the tests of the site. Where npm or its registry is not there, these tests are skipped.
axe: .venv/installed
	@test -e .venv/axe.min.js || ! command -v npm > /dev/null || $(MAKE) --no-print-directory .venv/axe.min.js \
		|| echo "axe-core could not be fetched by npm"

.venv/axe.min.js:
	cd .venv && npm pack --silent axe-core@4.14.1 && tar -xzf axe-core-4.14.1.tgz --strip-components 1 package/axe.min.js
	echo "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c  $@" | sha256sum --check --quiet || { rm $@; exit 1; }

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

# 5,000 random raw cases, each refused or measured as by hand, and 200 tamperings, each found. The tests run 300 and 50.
# The coverage of the intervals is simulated for every number of cases and runs; the tests take ten of them.
properties: .venv/installed
	SEMISEG_RANDOM_CASES=5000 SEMISEG_TAMPERINGS=20 SEMISEG_COVERAGE=whole $(BIN)/pytest --numprocesses logical \
		tests/stages/test_raw_to_score.py tests/proof/test_tampering.py tests/scoring/test_coverage.py

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

# Written again after a change in what a training step does; a test fails when this was forgotten. Takes minutes.
counts: .venv/installed
	$(BIN)/python -m semiseg counts > src/semiseg/learning/counts.json.new
	mv src/semiseg/learning/counts.json.new src/semiseg/learning/counts.json

# One table of all benchmarks, printed and written into docs/performance.md; about an hour on a quiet machine.
benchmark: $(PEERS)/installed
	OMP_NUM_THREADS=1 $(PEERS)/bin/python benchmarks/all.py --page docs/performance.md

# The libraries that are compared with the product, in an environment of their own, which sees the product's packages too.
$(PEERS)/installed: benchmarks/peers.txt .venv/installed
	$(BIN)/python -m venv --clear $(PEERS)
	$(BIN)/python -c "import sysconfig as s; print('import site; site.addsitedir(' + repr(s.get_path('purelib')) + ')')" \
		> $$($(PEERS)/bin/python -c "import sysconfig as s; print(s.get_path('purelib'))")/product.pth
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement benchmarks/peers.txt
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
