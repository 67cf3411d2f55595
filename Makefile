# make help lists the targets. Everything happens in .venv, in .venv-… beside it, and in the folders node_modules and static of
# the page; nothing else on the machine changes, except that targets with tests install missing servers where they may (root
# on Debian).

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# One worker more than cores, at most four, since tests wait for servers; the tests of a file run on one worker and share its
# servers. ARGS=-n0 and --pdb: none.
WORKERS = -n $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)') --maxprocesses 4 --dist loadfile \
	--no-loadscope-reorder

PAGE := src/adapters/statcore_web/page
PAGE_SOURCES := $(wildcard $(PAGE)/*.* $(PAGE)/explorer/*.*) hatch_build.py
PAGE_DEV := $(PAGE)/node_modules/.dev
BUILT_PAGE := src/adapters/statcore_web/static/page.js

PAGE_NPM := $(BIN)/python hatch_build.py npm
PIP_INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo page test screenshots topologies long fuzz matrix lowest compat servers servers-current engines static audit format check \
	hooks constraints bench scale soak wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

demo: .venv/.runtime ## real child processes, live; ARGS=--once for ten seconds, ARGS=--servers for real servers
	@$(BIN)/statcore demo $(ARGS)

page: $(BUILT_PAGE) ## bundle the page after a change of its sources; the targets that need it do this, too

test: .venv/.dev $(PAGE_DEV) servers ## the tests but those that take long, with branch coverage; ARGS=tests/unit for a part, without coverage; ARGS=-n0 in one process
	@$(if $(ARGS),$(BIN)/pytest $(WORKERS) $(ARGS),scripts/test-with-coverage $(BIN) $(WORKERS))

screenshots: .venv/.dev ## take the tour of README.md and keep its pictures in docs/images
	@SCREENSHOTS=docs/images $(BIN)/pytest -n0 -q tests/e2e/test_tour.py

topologies: .venv/.dev servers ## the tests of clusters and sentinels that take long; ARGS as for pytest
	@$(BIN)/pytest -m topologies -n0 $(ARGS) tests/faults

long: .venv/.dev servers ## everything that takes hours, and a table of it: long tests, 10,000 seeds, soak, fuzz; ARGS="simulation" for a part
	@PYTHONPATH=benchmarks $(BIN)/python scripts/long.py $(ARGS)

fuzz: .venv/.fuzz ## fuzz each target for ten minutes; ARGS="--minutes 1 codec" for less, ARGS=--help for more
	@$(BIN)/python scripts/fuzz.py $(ARGS)

matrix: .venv/.runtime servers ## unit, property and conformance tests on every Python from 3.11 on that is found; ARGS as for pytest
	@scripts/matrix $(ARGS)

lowest: .venv-lowest/constraints.txt servers ## the same with the lowest versions that pyproject.toml allows, on the oldest Python found
	@scripts/lowest $(ARGS)

compat: servers ## compare with the released agent and manager (needs Python 3.13); ARGS as for pytest
	@scripts/compat $(ARGS)

servers: ## install the servers that the tests need, as root on Debian
	@scripts/install-servers

servers-current: ## build the newest Prometheus and VictoriaMetrics for the tests (needs Go)
	@scripts/install-current-servers

engines: .venv/.dev servers ## test every metric engine that is found, and write the tables of docs/compatibility.md
	@PYTHONPATH=plugins/statcore-victoriametrics/src $(BIN)/python scripts/write_engines.py

static: .venv/.dev $(PAGE_DEV) ## lint with its security rules, import contracts, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	@for tests in plugins/*/tests; do $(BIN)/mypy "$$tests" || exit; done
	$(BIN)/pyright --pythonpath $(BIN)/python
	@scripts/verify-types $(BIN)
	@$(PAGE_NPM) run --silent check

audit: .venv/.dev $(PAGE_DEV) ## look up known vulnerabilities of the packages that statcore and its page need, where a service answers
	@$(BIN)/python scripts/audit.py

format: .venv/.dev $(PAGE_DEV) ## rewrite the code in house style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	@$(PAGE_NPM) run --silent format

check: static audit test ## everything that CI checks

hooks: .venv/.dev ## make git run `make static` before each commit
	@$(BIN)/pre-commit install

constraints: ## update the versions that .venv installs, constraints.txt (needs Python 3.11)
	@scripts/write-constraints

bench: .venv/.dev $(BUILT_PAGE) servers ## compare the speed with code that users write today, and measure the page in a browser
	@PYTHONPATH=. $(BIN)/python benchmarks/run.py $(ARGS)

scale: .venv/.dev servers ## measure how costs grow with kernels: half an hour, 8 GB; ARGS="--most 10000" for a small run
	@PYTHONPATH=. $(BIN)/python benchmarks/scale.py $(ARGS)

soak: .venv/.dev servers ## read for ten minutes while servers fail, and check each answer; ARGS="--minutes 60 --seed 2"
	@PYTHONPATH=. $(BIN)/python benchmarks/soak.py $(ARGS)

wheel: .venv/.dev ## build the wheels of statcore and of its plugins into dist/
	@$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist . plugins/*/

clean: ## remove the environments and the files of tools
	rm -rf .venv .venv-compat .venv-lowest .venv-matrix dist build .fuzz $(PAGE)/node_modules $(dir $(BUILT_PAGE)) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit("statcore needs Python 3.11 or newer, not " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "making .venv" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

.venv/.runtime: .venv/.python pyproject.toml constraints.txt | $(BUILT_PAGE)
	@echo "installing statcore with all extras" >&2
	@$(PIP_INSTALL) --editable '.[all]'
	@touch $@

$(BUILT_PAGE): $(PAGE_SOURCES) | .venv/.python
	@echo "building the page" >&2
	@$(PIP_INSTALL) --group page
	@$(BIN)/python hatch_build.py

# In node_modules, so that it disappears where packages are installed without those for development.
$(PAGE_DEV): $(PAGE)/package-lock.json | $(BUILT_PAGE)
	@$(PAGE_NPM) ci --ignore-scripts
	@touch $@

.venv/.dev: .venv/.runtime
	@echo "installing the tools for development" >&2
	@$(PIP_INSTALL) --group dev
	@touch $@

.venv/.fuzz: .venv/.dev
	@$(PIP_INSTALL) --group fuzz
	@touch $@

.venv-lowest/constraints.txt: .venv/.dev pyproject.toml scripts/lowest_versions.py
	@mkdir -p $(@D)
	@$(BIN)/python scripts/lowest_versions.py >$@
