# One command each; `make help` lists them.
SHELL := /bin/sh
# The environment that pipeline/setup.sh made: .venv, or .conda where conda did it.
IN_ENVIRONMENT = PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.conda/bin:$$PATH"
CORES ?= all
OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help setup study figures report test lint clean

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

test: setup ## run all tests: Python, R, and a tiny study from end to end
	@$(IN_ENVIRONMENT) python -m pytest --numprocesses auto --dist loadfile $(OPTIONS)

lint: setup ## check the style of Python, Snakemake and R code
	@$(IN_ENVIRONMENT) ruff check .
	@$(IN_ENVIRONMENT) ruff format --check .
	@$(IN_ENVIRONMENT) snakefmt --check Snakefile pipeline/rules
	@$(IN_ENVIRONMENT) snakemake --lint

clean: ## remove the results (not the data, not the environment)
	rm -rf results .snakemake
