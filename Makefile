# make demo    the whole benchmark on two CPU cores: tables, figures and a report in results/demo/
# make field   all eight methods on the same drawings, about 40 minutes: results/field/
# make multimodal    conditional IMLE and its controls, about 15 minutes: results/multimodal/
# make mine IMAGES=path/to/folder    train on your own pictures: a page in results/mine/
# make site    the reports of all committed results as a static site: results/rendered/index.html
# make test    the test suite
# make stress  the reliability tests in their long form: kills, full disks, hostile input (docs/reliability.md), SLURM
# make lint    formatters, linters, types and import order
# make clean   remove the results of the commands above and of figures 1 and 5, and tool caches (not downloads, not saved
#              trainings, not the results of other presets)

PYTHON ?= python3
export IMAGES
export PATH := $(CURDIR)/.venv/bin:$(PATH)
BIN := .venv/bin

.PHONY: demo field multimodal mine named site test stress lint clean
.DEFAULT_GOAL := demo

demo: .venv/.installed
	$(BIN)/snakemake --cores all --configfile config/demo.yaml
	@echo; echo "Done. The results:"; ls results/demo/tables/*.md results/demo/figures/*.png results/demo/report.html
	@echo; echo "For other commands, activate the environment first: source .venv/bin/activate"

field: .venv/.installed
	$(BIN)/snakemake --cores all --configfile config/field.yaml
	@echo; echo "Done. The results:"; ls results/field/tables/*.md results/field/figures/*.png results/field/report.html

multimodal: .venv/.installed
	$(BIN)/snakemake --cores all --configfile config/multimodal.yaml
	@echo; echo "Done. The results:"; ls results/multimodal/tables/*.md results/multimodal/figures/*.png results/multimodal/report.html

mine: named .venv/.installed
	$(BIN)/snakemake --cores all --config "images=$$IMAGES"

named: # before an installation of minutes
	@test -n "$$IMAGES" || { echo "error: name the folder of the pictures: make mine IMAGES=path/to/folder"; exit 1; }

site: .venv/.installed
	$(BIN)/snakemake --cores 1 site --configfile config/reference.yaml
	@echo; echo "Done: results/rendered/index.html; copy the folder to any web server, or open the file."

test: .venv/.installed
	$(BIN)/pytest -n 2

stress: .venv/.installed
	$(BIN)/pytest -n 2 tests/reliability tests/cluster --stress --timeout=7200

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint --configfile config/demo.yaml

clean:
	rm -rf results/demo results/field results/multimodal results/mine results/smoke results/rendered results/figure1 results/nn_direction results/logs \
	  .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

.venv/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.txt
	@touch $@
