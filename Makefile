# make study                    run the study of config.yaml on all cores (5.5 minutes on two)
# make study CONFIG=mine.yaml   the same, with the keys of mine.yaml
# make study CONFIG=studies/quick.yaml   a first look (half a minute)
# make open [CONFIG=mine.yaml]  open its report in a browser
# make plan [CONFIG=mine.yaml]  show what it would run, and for how long
# make adopt [CONFIG=mine.yaml] keep runs that were copied here without .snakemake
# make reproduce [CONFIG=...]   make study, and compare it with the reference results
# make findings                 write docs/findings.md from reference/
# make config                   write config.yaml, its schema and its page from config_model.py
# make lesson                   execute docs/lesson.ipynb into a page
# make check                    check style, and run fast unit tests (a minute)
# make test                     run all tests (about 14 minutes on two cores)
# make golden                   compare small studies and reference/ with version 1.0
# make test-deps                install Debian packages for tests: Slurm, MariaDB, Chromium
# make setup                    install the packages into .venv (once, a minute)
# make lock                     lock the newest packages that envs/requirements.in allows (needs uv)
# make clean                    remove .venv and caches; results and .snakemake stay
# make help                     show these lines
PYTHON ?= python3
CONFIG ?=
VENV := .venv
# Relative: the path of the project may have spaces and quotes.
BIN := $(VENV)/bin

# The packages are those of the lock, wherever they come from: a shell, or a cluster's modules, may name others.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH JUPYTER_PATH
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_BINARY PIP_DRY_RUN

# Snakemake and Matplotlib keep caches, by default in the home, which nodes of some clusters cannot write.
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.cache
endif

.PHONY: study open plan adopt reproduce findings config lesson check test golden test-deps setup lock clean help

# Without these two, the study of config.yaml would be made and not the one that is meant.
ifneq ($(filter %.yaml,$(MAKECMDGOALS)),)
$(error a configuration is given as CONFIG=$(firstword $(filter %.yaml,$(MAKECMDGOALS))))
endif
ifeq ($(origin config),command line)
$(error a configuration is given in capital letters, as CONFIG=$(config))
endif

# Snakemake shows a traceback for a file that is absent or not YAML.
study: setup
	@$(if $(CONFIG),$(BIN)/python scripts/check_config.py "$(CONFIG)")
	@$(BIN)/snakemake --cores all $(if $(CONFIG),--configfile "$(CONFIG)")
	@echo "To see the report in a browser: make open$(if $(CONFIG), CONFIG=$(CONFIG))"

open: setup
	@$(BIN)/python scripts/open_report.py $(if $(CONFIG),"$(CONFIG)")

plan: setup
	@$(BIN)/python scripts/plan.py $(if $(CONFIG),--configfile "$(CONFIG)")

adopt: setup
	@$(BIN)/python scripts/adopt.py $(if $(CONFIG),"$(CONFIG)")

reproduce: study
	@$(BIN)/python scripts/reproduce.py $(if $(CONFIG),--configfile "$(CONFIG)")

findings: setup
	@$(BIN)/python scripts/findings.py

config: setup
	@$(BIN)/python scripts/configuration.py

# The page is to need no network, so it names no scripts of others.
lesson: setup
	@mkdir -p results/lesson
	@$(BIN)/papermill --no-progress-bar docs/lesson.ipynb results/lesson/lesson.ipynb
	@$(BIN)/jupyter nbconvert --to html --HTMLExporter.mathjax_url= --HTMLExporter.require_js_url= \
	    results/lesson/lesson.ipynb

# tests/conftest.py says how many workers there are, what is theirs, and in which order.
PYTEST = PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses auto --dist loadgroup \
    --no-loadscope-reorder $(PYTEST_OPTIONS)

check: setup
	@$(PYTEST) -m "not slow" tests/test_style.py tests/unit

test: setup
	@$(PYTEST)

golden: setup
	@$(BIN)/python tests/golden/golden.py $(GOLDEN_OPTIONS)

TEST_DEPS := munge slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins \
    slurm-wlm-mysql-plugin mariadb-server-core mariadb-client-core chromium dataset-fashion-mnist

# Programs alone: while they are installed, policy-rc.d keeps Debian from starting them as services.
test-deps:
	@missing=$$(for package in $(TEST_DEPS); do dpkg-query --show --showformat '$${db:Status-Status}' \
	    $$package 2>/dev/null | grep -qx installed || printf ' %s' $$package; done); \
	[ -n "$$missing" ] || exit 0; \
	advice="install, with the tools of this system, what the tests need:$$missing"; \
	command -v apt-get >/dev/null || { echo "there is no apt-get here: $$advice" >&2; exit 1; }; \
	[ "$$(id -u)" = 0 ] || { echo "this takes root (sudo make test-deps): $$advice" >&2; exit 1; }; \
	echo "installing$$missing"; \
	if [ ! -e /usr/sbin/policy-rc.d ]; then \
	    trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
	    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; \
	fi; \
	apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$missing >/dev/null

setup: $(VENV)/complete

# The lock is installed as it is, every file checked against its hash. An environment that is only linked is another's.
# pip would compile on one core. What cannot be compiled is left as it is, as pip leaves it.
# A second make waits for the first, where the system has flock.
$(VENV)/complete: envs/requirements.txt
	@[ ! -L $(VENV) ] || { echo "$(VENV) is a link, and what it leads to would be emptied: remove it" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	    f"Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@exec 9>>$(VENV).lock; \
	! command -v flock >/dev/null || flock -n 9 || { echo "another make installs the packages: waiting for it"; flock 9; }; \
	[ ! $@ -nt $< ] || exit 0; \
	echo "installing the packages of envs/requirements.txt into $(VENV) (a few minutes, once)"; \
	$(PYTHON) -m venv --clear $(VENV) && \
	$(BIN)/python -m pip install --quiet --no-user --no-compile --no-deps --require-hashes --requirement $< && \
	{ $(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true; } && \
	touch $@

# Needs uv. Upgrades every package that requirements.in leaves open.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --no-annotate \
	    --no-emit-index-url --no-emit-find-links --no-header \
	    --output-file envs/requirements.txt envs/requirements.in

clean:
	rm -rf $(VENV) $(VENV).lock .pytest_cache .ruff_cache .hypothesis

help:
	@sed -n 's/^# make/make/p' Makefile
