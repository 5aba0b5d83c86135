# make study                    create .venv and run the study of config.yaml on all cores
# make study CONFIG=mine.yaml   the same with the keys of mine.yaml in place of config.yaml's
# make plan [CONFIG=mine.yaml]  what that would run, and roughly how long it will take
# make test                     everything that is checked
# make setup                    create .venv alone
PYTHON ?= python3
CONFIG ?=
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin

.PHONY: study plan test setup lock clean

study: setup
	@$(BIN)/snakemake --cores all $(if $(CONFIG),--configfile $(CONFIG))

plan: setup
	@$(BIN)/python scripts/plan.py $(if $(CONFIG),--configfile $(CONFIG))

test: setup
	@PATH="$(BIN):$$PATH" $(BIN)/python -m pytest

setup: $(VENV)/complete

# The lock is installed as it is, every file checked against its hash.
$(VENV)/complete: envs/requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	    f"Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@echo "installing the packages of envs/requirements.txt into $(VENV) (a few minutes, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement envs/requirements.txt
	@touch $@

# Needs uv. Upgrades every package that requirements.in leaves open.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --no-annotate \
	    --no-emit-index-url --no-emit-find-links --no-header \
	    --output-file envs/requirements.txt envs/requirements.in

clean:
	rm -rf $(VENV) .cache .snakemake
