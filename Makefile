# One command each; `make help` lists them.
SHELL := /bin/sh
# The environment that pipeline/setup.sh made: .venv, or .conda where conda did it.
IN_ENVIRONMENT = PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.conda/bin:$$PATH"
CORES ?= all
OPTIONS ?=
PROFILE ?= overnight
KEEP ?=

.DEFAULT_GOAL := help
.PHONY: help setup study figures report benchmarks reference test lint fetch left scale docs nodekitr clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install R, uv and the locked environment, once
	@pipeline/setup.sh

study: setup ## run the whole study: results/report.html (OPTIONS="--configfile pipeline/config/full.yaml")
	@$(IN_ENVIRONMENT) snakemake --cores $(CORES) --rerun-incomplete $(OPTIONS)

figures: setup ## draw every figure again, training nothing
	@$(IN_ENVIRONMENT) snakemake --cores $(CORES) --forcerun draw_figure $(OPTIONS) -- figures

report: setup ## write the report again, training nothing
	@$(IN_ENVIRONMENT) snakemake --cores $(CORES) --forcerun render_report $(OPTIONS) -- report

benchmarks: setup ## measure nodekit beside its peers (ten minutes, machine otherwise idle): results/benchmarked; KEEP=1 moves it to data/reference
	@[ -d .conda ] || PATH="$(CURDIR)/.tools/bin:$$PATH" uv sync --frozen --inexact --quiet --group benchmarks
	@$(IN_ENVIRONMENT) snakemake --cores $(CORES) --forcerun benchmarks $(OPTIONS) -- benchmarks
	@[ -z "$(KEEP)" ] || (mkdir -p data/reference/benchmarks && mv results/benchmarked/*.csv data/reference/benchmarks/)
	@echo "The report shows it when it is written next (make report)."

reference: setup ## run PROFILE (overnight), or go on with it, and keep what it has found so far in data/reference/PROFILE
	-@$(IN_ENVIRONMENT) snakemake --cores $(CORES) --rerun-incomplete --keep-going --configfile pipeline/config/$(PROFILE).yaml $(OPTIONS) -- tables
	@$(IN_ENVIRONMENT) python -m pipeline.claims.reference pipeline/config/$(PROFILE).yaml

test: setup ## run all tests: Python, R, and a tiny study from end to end
	@$(IN_ENVIRONMENT) python -m pytest --numprocesses auto --dist loadfile $(OPTIONS)

lint: setup ## check the style of Python, Snakemake and R code, public types, and files of settings
	@$(IN_ENVIRONMENT) ruff check .
	@$(IN_ENVIRONMENT) ruff format --check .
	@$(IN_ENVIRONMENT) mypy
	@$(IN_ENVIRONMENT) snakefmt --check Snakefile pipeline/rules
	@$(IN_ENVIRONMENT) snakemake --lint
	@$(IN_ENVIRONMENT) Rscript tests/r/lint.R rscripts tests docs
	@$(IN_ENVIRONMENT) python tests/settings_files.py

fetch: setup ## fill the folder MIRROR (mirror) with all data, for machines without a network
	@$(IN_ENVIRONMENT) python -m pipeline.data.fetch $(or $(MIRROR),mirror)

left: setup ## say how many runs of the study are left and how long they take here (OPTIONS="pipeline/config/full.yaml")
	@$(IN_ENVIRONMENT) python -m pipeline.cluster.estimate --workers $(CORES) $(OPTIONS)

scale: setup ## compute what a study needs on 1, 8 and 64 workers, from its run times: docs/scale.md
	@$(IN_ENVIRONMENT) python -m pipeline.cluster.scale $(OPTIONS)

docs: setup ## build the documentation site, warnings as errors: build/docs/index.html
	@PATH="$(CURDIR)/.tools/bin:$$PATH" uv sync --frozen --inexact --quiet --group docs
	@$(IN_ENVIRONMENT) python -m sphinx --fail-on-warning --keep-going --fresh-env -q docs build/docs

nodekitr: setup ## build the R package nodekitr with its vignettes (a minute), and install it: build/nodekitr_*.tar.gz
	@mkdir -p build && rm -f build/nodekitr_*.tar.gz
	@export $(IN_ENVIRONMENT) && export RETICULATE_PYTHON="$$(command -v python)" && cd build && \
		R CMD build ../rscripts/nodekitr && R CMD INSTALL nodekitr_*.tar.gz

clean: ## remove the results (not the data, not the environment)
	find results -mindepth 1 ! -path results/README.md -delete
	rm -rf .snakemake
