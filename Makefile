# The one door. `make help` prints the targets; CI calls the same ones.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := .uv/bin/uv
PYTEST := $(BIN)/python -m pytest
LOCK = $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
export UV_NO_PROGRESS := 1
export UV_PYTHON_DOWNLOADS := never
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup check format test test-fast test-all test-shared test-pages pictures test-soak test-kills test-matrix test-stack test-mwaa test-mwaa-wheel test-mwaa-airflow test-infra coverage figures audit \
	dist sbom release-check publish demo docs lock clean bench pages-tools

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt

$(VENV)/.ready: $(UV) pyproject.toml requirements/locked.txt
	@echo "Setting up $(VENV) with locked versions (first time: a few hundred MB of downloads)"
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/locked.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@test ! -d .git || test -n "$$CI" || $(BIN)/pre-commit install >/dev/null
	@touch $@

$(VENV)/.tools: $(VENV)/.ready requirements/tools.txt
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/tools.txt
	@touch $@

setup: $(VENV)/.ready ## create .venv with the locked versions and install the pre-commit hook

check: setup ## lint, types, spelling, words, stale generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/pages.py --check
	$(BIN)/python docs/words.py
	$(BIN)/codespell airflow_distill dags tests docs benchmarks README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md

format: setup ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

test: setup ## checks and tests, the slow ones included, the soak tests not
	$(MAKE) --no-print-directory check
	$(PYTEST) -q -m "not slow and not airflow" -n 2
	$(PYTEST) -q -m "airflow and not slow" -n 2 --dist loadfile
	$(PYTEST) -q -m "slow and not soak and not alone and not pages" -n 2 --dist loadfile --durations 5
	$(PYTEST) -q -m "alone" --reruns 1 --durations 5

test-fast: setup ## tests of the pure rooms and the sandbox only
	$(PYTEST) -q -m "not slow and not airflow" -n 2

test-shared: setup ## checks on texts of real people, which are not part of the project: TEXTS=FOLDER
	DISTILL_TEXTS="$(TEXTS)" $(PYTEST) -q tests/real_texts/check_real_texts.py

test-soak: setup ## kill, restart and pause parts of a real Airflow
	$(PYTEST) -q -m "soak and not stack and not kills" --reruns 1

test-kills: setup ## ten releases while parts of a real Airflow are killed thirty times; prints purchases and bill
	$(PYTEST) -q -s -m kills

test-pages: setup pages-tools ## the pages in Chromium, on a real Airflow after four workloads' runs
	$(PYTEST) -q -m pages --durations 5

pictures: setup pages-tools ## make the pictures of the pages in docs/assets/pages anew
	DISTILL_PICTURES=docs/assets/pages $(PYTEST) -q -m pages -k pictures

pages-tools: tests/airflow_pages/node_modules/.ready

tests/airflow_pages/node_modules/.ready: tests/airflow_pages/package.json
	@command -v node >/dev/null || { echo "Node.js 20 or newer is needed to look at the pages" >&2; exit 1; }
	@command -v "$${CHROMIUM:-chromium}" >/dev/null || bash tests/airflow_pages/chromium.sh
	cd tests/airflow_pages && npm install --no-audit --no-fund --no-package-lock --silent
	@touch $@

test-all: test test-soak test-matrix ## `test`, the soak tests, then the lowest and newest dependency sets

test-matrix: $(UV) ## tests with lowest-direct, locked and newest dependencies
	bash requirements/matrix.sh

test-stack: $(UV) ## a workload on a platform like Amazon MWAA in whole, with parts killed and stopped
	bash requirements/mwaa.sh stack

test-mwaa: test-mwaa-wheel test-mwaa-airflow test-stack ## demo, all Airflow tests and the stack under Amazon MWAA's versions

test-mwaa-wheel: $(UV) ## the wheel installed under Amazon MWAA's versions, and the demo from it
	bash requirements/mwaa.sh wheel

test-mwaa-airflow: $(UV) ## all Airflow tests under Amazon MWAA's versions
	bash requirements/mwaa.sh airflow

test-infra: setup ## the Terraform module and the CDK construct, equal to `airflow-distill iam`
	$(PYTEST) -q -m infra tests/infra

coverage: $(VENV)/.tools ## measure what the quick tests run, and print it by room
	$(PYTEST) -q -m "not slow and not airflow" -n 2 --cov --cov-report=
	$(BIN)/python benchmarks/figures.py --coverage

figures: setup ## print lines of code, tests to code by room, long functions and long modules
	$(BIN)/python benchmarks/figures.py

audit: $(VENV)/.tools ## workflows (zizmor) and dead code (vulture)
	$(BIN)/zizmor --offline --quiet .github
	@! $(BIN)/vulture | grep '^airflow_distill/' || { echo 'dead code, or a name for ignore_names in pyproject.toml'; exit 1; }

dist: $(UV) ## build wheels and sdist into dist/, twice, and compare the digests
	bash packages/dist.sh dist

sbom: $(VENV)/.tools ## write dist/sbom.cdx.json
	bash packages/sbom.sh dist

release-check: ## say whether TAG may be released: tag, version and changelog agree
	$(PYTHON) packages/release_check.py "$(TAG)"

publish: $(UV) ## upload dist/ to PyPI; the release workflow does this, by trusted publishing
	$(UV) publish --trusted-publishing always dist/*.whl dist/*.tar.gz

demo: setup ## the whole loop on a local Airflow and a local Bedrock; ARGS="--strict" makes the account hard
	@$(BIN)/airflow-distill demo $(ARGS)

docs: setup ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup ## print the benchmark tables
	for f in benchmarks/*.py; do echo "== $$f"; $(BIN)/python $$f || exit 1; done

lock: $(UV) ## resolve the locked versions anew
	$(LOCK) pyproject.toml --extra dev --output-file requirements/locked.txt
	$(LOCK) --constraint requirements/locked.txt requirements/tools.in --output-file requirements/tools.txt
	echo 'uv>=0.8' | $(LOCK) - --output-file requirements/uv.txt

clean: ## remove environments and caches
	rm -rf .venv .venv-mwaa .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis site dist build
