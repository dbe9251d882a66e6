# Every target sets up what it needs. Variables that pass through:
#   DATA=/path     folder of the data (ImageNet: the folder that holds val/ or the labelled photographs; COCO: the one
#                  that holds images/ and annotations/)
#   WEIGHTS=/path  folder of weights files, for machines without internet
#   DEVICE=cuda    cpu, cuda, cuda:N or auto (default)
#   ONLY="a b"     only the sweep's backbones whose names contain one of these words
#   METHODS="a b"  only these of the sweep's methods
#   EXECUTOR=ray   local (default) or ray; WORKERS=n processes; ADDRESS=host:port of a Ray cluster, or auto
#   SWEEP=name     a sweep that ships (see `splitbench sweeps`) or a .yaml file
#   OUT=/path      folder of the results (default results/<sweep's name>)
#   RUNS="a b"     runs that compare, figures and report read (default OUT, or the classification run)
VENV ?= .venv
BIN := $(VENV)/bin
# The newest Python that runs (shims of other versions do not) and can make an environment; PYTHON=... takes another.
PYTHONS := python3.14 python3.13 python3.12 python3.11 python3
SUITABLE := 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))'
PYTHON ?= $(shell for python in $(PYTHONS); do $$python -c $(SUITABLE) 2>/dev/null && echo $$python && break; done)
READY := $(VENV)/.ready

# With DATA the published sweep over ImageNet or COCO; without, the synthetic one.
SWEEP ?= $(if $(DATA),imagenet,classification)
NAME = $(basename $(notdir $(SWEEP)))
OUT ?= results/$(NAME)
RUNS ?= $(OUT)
OPTIONS := $(if $(DATA),--data "$(DATA)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(DEVICE),--device "$(DEVICE)") $(foreach word,$(ONLY),--only "$(word)") $(foreach word,$(METHODS),--method "$(word)")
RUNNING := $(if $(EXECUTOR),--executor "$(EXECUTOR)") $(if $(WORKERS),--workers "$(WORKERS)") $(if $(ADDRESS),--address "$(ADDRESS)")
MUTATIONS ?= 100000
KILLS ?= 50
# Of pytest-xdist: a process per core, each of about 1 GB.
PARALLEL ?= --numprocesses auto --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup bench-classification bench-detection validate figures compare report benchmark test test-all torture fuzz lint typecheck format docs release-check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 24
	@sed -nE 's/^#   /  /p' Makefile

setup: $(READY) ## create .venv with pinned versions (does nothing where it is up to date)

$(READY): pyproject.toml constraints.txt
	@# An environment that is there stays: another Python's would be mixed into it.
	@$(BIN)/python -c $(SUITABLE) 2>/dev/null || test -n "$(PYTHON)" || { echo "error: no Python 3.11 to 3.14 with venv was found as one of $(PYTHONS): install one, or set PYTHON=/path/to/python" >&2; exit 1; }
	@$(BIN)/python -c $(SUITABLE) 2>/dev/null || $(PYTHON) -c $(SUITABLE) || { echo "error: PYTHON=$(PYTHON) is no Python 3.11 to 3.14 with venv" >&2; exit 1; }
	$(BIN)/python -c $(SUITABLE) 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -c 'import sys; print("using Python", sys.version.split()[0], "of", sys.base_prefix)'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# mypy does not follow editable installs: it finds the package through links.
	@mkdir -p $(VENV)/src/splitbench
	@for folder in bench datasets methods; do ln -sfn ../../../$$folder $(VENV)/src/splitbench/$$folder; done
	@for file in api/*.py; do ln -sfn ../../../$$file $(VENV)/src/splitbench/; done
	@touch $@

bench-classification: setup ## run the classification sweep: CSV, comparison, figures
	$(BIN)/splitbench run "$(SWEEP)" $(OPTIONS) $(RUNNING) --out "$(OUT)"

bench-detection: SWEEP = $(if $(DATA),coco,detection)
bench-detection: setup ## run the detection sweep: CSV, comparison, figures
	$(BIN)/splitbench run "$(SWEEP)" $(OPTIONS) $(RUNNING) --out "$(OUT)"

validate: setup ## check a sweep, list its cells and estimate the work, without running it
	$(BIN)/splitbench validate "$(SWEEP)" $(OPTIONS)

figures: setup ## draw the figures of RUNS again, from the CSVs alone
	$(BIN)/splitbench figures $(RUNS)

compare: setup ## compare the methods of RUNS, from the CSVs alone
	$(BIN)/splitbench compare $(RUNS)

report: setup ## write one HTML file on RUNS: findings, figures, tables, what was run
	$(BIN)/splitbench report $(RUNS)

benchmark: setup ## measure how fast splitbench is on this machine; QUICK=1 is a smoke test
	$(BIN)/splitbench benchmark $(if $(QUICK),--quick) $(if $(DEVICE),--device "$(DEVICE)")

test: setup ## run the tests, on all cores
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: setup ## run the tests that take minutes, too
	$(BIN)/python -m pytest $(PARALLEL)

torture: NAME = torture
torture: setup ## damaged bitstreams, kills and faults by the thousand (MUTATIONS=, KILLS=); writes a table
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture --mutations $(MUTATIONS) --kills $(KILLS) --out "$(OUT)" $(foreach word,$(ONLY),--only "$(word)")

fuzz: setup ## libFuzzer on a method's decoder (METHOD=image; needs the extra `fuzz`)
	$(BIN)/python -m tests.torture.fuzz "$(or $(METHOD),quantize-rle)" -runs=$(MUTATIONS)

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: setup ## mypy, strict
	$(BIN)/mypy -p splitbench -p tests

docs: $(VENV)/.docs ## build the documentation site into build/docs/html, notebooks with their outputs; warnings are errors
	rm -rf build/docs/html
	$(BIN)/python -m docs.site.stage build/docs/source
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html -c docs/site build/docs/source build/docs/html
	$(BIN)/python -m docs.site.links build/docs/html

release-check: $(VENV)/.release ## build sdist and wheels, check them, install them in a fresh environment (gigabytes), run them
	@tag=$$(git tag --points-at HEAD 2>/dev/null); version=v$$($(BIN)/splitbench --version | cut -d " " -f 2); test -z "$$tag" || test "$$tag" = "$$version" || { echo "error: the tag is $$tag, the version in pyproject.toml $$version" >&2; exit 1; }
	rm -rf dist build/release
	$(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/python -m build --outdir dist bench/backbones/weights >/dev/null
	$(BIN)/python -m twine check --strict dist/*
	ls -l dist
	$(BIN)/python -m venv --clear build/release
	build/release/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	cd build/release && bin/splitbench --version && bin/splitbench sweeps && bin/splitbench methods && bin/splitbench validate classification

# Tools of few targets, installed when one of them is made.
$(VENV)/.%: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

format: setup ## ruff: mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and caches; results stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find api bench datasets methods tests -name __pycache__ -type d -prune -exec rm -rf {} +
