# make demo    the replication in miniature, from nothing to results/embedded/index.html
# make appendix   the ablations that need trainings of their own (about twenty minutes), then the page with them
# make many-edits   one model edited up to a thousand times with every method, and edits from many failures at once (about an hour), then the page with them
# make tutorial   executes docs/tutorial.ipynb, a ViT of this project edited step by step, and makes results/tutorial/tutorial.html (seconds)
# make test    the tests            make check   formatting, lint, types
# make test-faults   kills, full disks and the like at random points of a small chain: 50 seeds, about half an hour; SEEDS="3 7-9" for some
# make test-slurm   the workflow on a SLURM that it starts itself, with killed jobs and a dead node (minutes)
# make rendered    copies the executed notebooks of the embedded run to notebooks/rendered/, for readers on the web
# make bench   times the engine against the plain algorithm: docs/performance.md (half an hour on two cores; needs an idle machine)
# make lock    pins every dependency anew        make release-data, make release-results   see docs/dvc.md
#
# All of them share .venv, made from requirements.lock with checked hashes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env data demo appendix many-edits tutorial test test-faults test-slurm check bench lock graph rendered release-data release-results

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
CORES ?= all
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell \
	$(name) -c 'import sys; sys.version_info < (3, 11) or print("$(name)")' 2>/dev/null)))
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

env: $(VENV)/installed

# uv where there is one or where it can be had (a minute faster), else pip; both check every hash. The package itself is linked
# without dependencies and built with the setuptools of the lock, so that nothing unpinned is fetched.
$(VENV)/installed: requirements.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "No Python >= 3.11 on the PATH. Install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); uv venv --quiet --python $(PYTHON) $(VENV); } || \
		{ echo "$(PYTHON) cannot make a virtual environment (Debian, Ubuntu: install python3-venv)." >&2; exit 1; }
	@if command -v uv >/dev/null || { [ -x $(BIN)/pip ] && $(BIN)/pip install --quiet uv 2>/dev/null; }; then \
		tool="uv pip"; where=(--compile-bytecode --python $(BIN)/python); \
	else \
		tool="$(BIN)/python -m pip"; where=(); \
	fi; \
	echo "Installing the pinned dependencies into $(VENV) with $$tool: about 6 GB, some minutes the first time"; \
	$$tool install --quiet "$${where[@]}" --require-hashes -r requirements.lock; \
	$$tool install --quiet "$${where[@]}" --no-deps --no-build-isolation -e .
	@touch $@

data: env
	@dvc pull --quiet

demo: data
	@snakemake --cores $(CORES) --quiet host reason
	@vitedit timings results/embedded/timings
	@echo; echo "Done. Open $(CURDIR)/results/embedded/index.html"

appendix: data
	@snakemake --cores $(CORES) --quiet host reason -- appendix
	@snakemake --cores $(CORES) --quiet host reason
	@echo; echo "Done. Open $(CURDIR)/results/embedded/index.html"

many-edits: data
	@snakemake --cores $(CORES) --quiet host reason -- many_edits
	@snakemake --cores $(CORES) --quiet host reason
	@echo; echo "Done. Open $(CURDIR)/results/embedded/index.html"

NOTEBOOK := jupyter nbconvert --log-level ERROR
tutorial: data
	@$(NOTEBOOK) --to notebook --execute --ExecutePreprocessor.record_timing=False --output-dir results/tutorial docs/tutorial.ipynb
	@$(NOTEBOOK) --to html results/tutorial/tutorial.ipynb
	@echo; echo "Done. Open $(CURDIR)/results/tutorial/tutorial.html"

test: data
	@python -m pytest $(ARGS)

SEEDS ?= 0-49
test-faults: env
	@FAULT_SEEDS="$(SEEDS)" python -m pytest tests/faults $(ARGS)

test-slurm: data
	@python -m pytest -m slurm tests/slurm $(ARGS)

check: env
	ruff format --check
	ruff check
	pyright
	snakefmt --check Snakefile workflow
	snakemake --lint

BENCH ?= --device cpu
bench: env
	@python benchmarks/bench.py --output docs/performance/cpu $(BENCH)

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --extra dev pyproject.toml -o requirements.lock

graph: env
	@snakemake --rulegraph mermaid-js --quiet all

# Outputs included, so each has to stay small enough to open on the web
RENDERED_RUN ?= results/embedded
rendered: data tutorial
	@[ "$(RENDERED_RUN)" != results/embedded ] || snakemake --cores $(CORES) --quiet host reason -- notebooks
	@mkdir -p notebooks/rendered
	cp $(RENDERED_RUN)/notebooks/*.ipynb results/tutorial/tutorial.ipynb notebooks/rendered/
	@large=$$(find notebooks/rendered -name '*.ipynb' -size +4M); [ -z "$$large" ] || { echo "Larger than 4 MB: $$large" >&2; exit 1; }

# What `snakemake images models` made becomes the released data: docs/dvc.md
release-data: env
	mkdir -p data/embedded/images data/embedded/checkpoints
	cp results/embedded/images/* data/embedded/images/
	mv data/embedded/images/classes.txt data/embedded/
	cp results/embedded/pretrain/*.safetensors data/embedded/checkpoints/
	dvc add data
	dvc push
	@echo "Now commit data.dvc and dvc-store/."

# The embedded run's page, figures, tables, rendered notebooks and hypernetworks become the released results: docs/dvc.md. Ablations
# and many edits that were not made again stay as they were released.
release-results: env
	mkdir -p released/embedded
	find released/embedded -mindepth 1 -maxdepth 1 ! -name ablations.parquet ! -name many_edits.parquet -exec rm -rf {} +
	mkdir -p released/embedded/notebooks
	cp -r results/embedded/index.html results/embedded/figures results/embedded/tables results/embedded/config.yaml released/embedded/
	cp results/embedded/notebooks/*.html results/embedded/notebooks/*.ipynb released/embedded/notebooks/
	mkdir -p released/embedded/hypernets
	for backbone in base small; do cp results/embedded/$$backbone/hypernet.safetensors released/embedded/hypernets/$$backbone.safetensors; done
	for table in ablations many_edits; do [ ! -f results/embedded/$$table.parquet ] || cp results/embedded/$$table.parquet released/embedded/; done
	dvc add released
	dvc push
	@echo "Now commit released.dvc and dvc-store/."
