# The workshop. `make` alone lists what there is. Works with GNU make from 3.81 on, so with the one of macOS.

PYTHON ?= python3
VENV ?= .venv
# The official SDK's environments, for the interoperability tests, lie beside the main one.
SDKS ?= $(VENV)-sdk
# What the demo runs in: the package and its libraries, and none of the developers' tools.
DEMO := $(VENV)-demo
SDK_NEW := 0.1.211
SDK_OLD := 0.1.145

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIP_VERSION := 26.3
UV_VERSION := 0.13.9
AUDIT_VERSION := 2.10.1
BUILD_VERSION := 1.6.1
TWINE_VERSION := 7.0.0

# Arguments for pytest, for a part of the tests.
PYTEST_ARGS ?=
# As many workers of pytest-xdist as tests/conftest.py says; one that is done takes over from another, and so most tests of
# a file stay together and share what the file starts.
PARALLEL ?= -n auto --dist=worksteal
# How often `make test-busy` runs the tests.
TIMES ?= 10
# What else it is told: `--load stress-ng`, or the pytest of another environment to run at the same time, `--beside .venv-313/bin/pytest`.
BUSY_ARGS ?=

# The checkout may lie under a path with spaces; the files in it have none in their names.
SOURCES := _encord_async_pytest.py $(shell find encord_async examples -type f ! -name '*.py[co]' ! -name '.*' 2>/dev/null) pyproject.toml README.md LICENSE
CHECKED := _encord_async_pytest.py encord_async tests $(if $(wildcard benchmarks/*.py),benchmarks) $(if $(wildcard examples/*.py),examples) $(if $(wildcard docs/workshop/*.py),docs/workshop)
BENCHES := $(sort $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)))

WITH_SDKS = ENCORD_SDK_NEW_PYTHON=$(SDKS)/$(SDK_NEW)/bin/python ENCORD_SDK_OLD_PYTHON=$(SDKS)/$(SDK_OLD)/bin/python
SDKS_INSTALLED := $(SDKS)/$(SDK_NEW)/installed $(SDKS)/$(SDK_OLD)/installed

# Whoever wants no bytecode in their folders has every process of a test compile all that it imports, and pytest each test.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv sdks demo quick test thorough test-busy soak lint types format docs dist bench bench-crash lock audit clean FORCE
.DEFAULT_GOAL := help
# A target whose recipe failed half-way is not taken for done.
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "  variables: PYTHON (now $(PYTHON)), VENV (now $(VENV))"

demo: $(DEMO)/installed ## provision examples/ on the embedded emulator and print what it did
	@$(DEMO)/bin/encord-async demo

quick: lint $(VENV)/installed ## run every check, and every test that is done in a minute: none that starts a process
	$(BIN)/pytest -q $(PARALLEL) -m "not process and not slow" --hypothesis-profile=quick $(PYTEST_ARGS)

test: lint $(VENV)/installed $(SDKS_INSTALLED) ## run every check and every test
	$(WITH_SDKS) $(BIN)/pytest --durations=20 $(or $(PYTEST_ARGS),$(PARALLEL))

thorough: lint $(VENV)/installed $(SDKS_INSTALLED) ## the same, each family of cases to its last, and with coverage: for releases
	$(WITH_SDKS) $(BIN)/pytest --durations=20 $(PARALLEL) --cov --hypothesis-profile=thorough $(PYTEST_ARGS)

test-busy: $(VENV)/installed $(SDKS_INSTALLED) ## run every test TIMES times while all cores are kept busy; says which failed
	$(WITH_SDKS) $(BIN)/python tests/busy.py --times $(TIMES) $(BUSY_ARGS) $(or $(PYTEST_ARGS),$(PARALLEL))

lint: $(VENV)/installed ## run every check that is not a test: ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports --no-cache

types: $(VENV)/locked ## mypy alone, on the checkout
	$(BIN)/mypy $(CHECKED)

format: $(VENV)/locked ## put the code in order
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(VENV)/installed ## build the documentation as a site, strictly, and say where it is
	$(BIN)/python docs/workshop/build.py build/docs

bench: $(VENV)/installed ## run every benchmark in turn
	@if [ -z "$(BENCHES)" ]; then echo "no benchmarks yet"; fi
	@set -e; for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python "$$bench"; done

soak: $(VENV)/installed ## an hour of random manifests, edits, stops and networks; SOAK_ARGS="--minutes 5 --seed 1"
	$(BIN)/python tests/soak/soak.py $(SOAK_ARGS)

bench-crash: $(VENV)/installed ## kill runs at random and count what was made twice
	$(BIN)/python benchmarks/crash.py

dist: $(VENV)-dist/installed ## build what is released, and check it; RELEASING.md says what else a release takes
	rm -rf dist
	$(VENV)-dist/bin/python -m build
	$(VENV)-dist/bin/python -m twine check --strict dist/*
	$(PYTHON) -m venv --clear $(VENV)-dist/fresh
	wheel=$$(echo dist/*.whl) && $(VENV)-dist/fresh/bin/python -m pip --disable-pip-version-check --quiet install "$$wheel[cli]"
	$(VENV)-dist/fresh/bin/python -m pip --disable-pip-version-check check
	$(VENV)-dist/fresh/bin/encord-async demo

venv: $(VENV)/installed ## make the environment and install the package's wheel in it

sdks: $(SDKS_INSTALLED) ## make the official SDK's environments

clean: ## remove environments, caches and build products
	rm -rf $(VENV) $(DEMO) $(VENV)-lock $(VENV)-audit $(VENV)-dist $(SDKS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov build dist
	find encord_async tests benchmarks examples -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# --- the environment -----------------------------------------------------------------------------------------------

# Puts pip into the environment $(1), one that reads an index in half the time of the one that came with Python 3.11. The
# interpreter's own pip does it; where there is none, or one that is too old for that, `venv` does, in some seconds.
PIP_INTO = { $(PYTHON) -m pip --disable-pip-version-check --quiet --python $(1)/bin/python install pip==$(PIP_VERSION) 2>/dev/null || \
	{ { $(PYTHON) -m venv $(1) || { echo "no venv module? On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; } && \
	  $(1)/bin/python -m pip --disable-pip-version-check --quiet install pip==$(PIP_VERSION); }; }
NEW_ENVIRONMENT = $(PYTHON) -m venv --clear --without-pip $(1) && $(call PIP_INTO,$(1))

# Names the interpreter. Looked at each time, written only when it differs: another PYTHON makes a new environment.
$(VENV)/interpreter $(DEMO)/interpreter: %/interpreter: FORCE
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("encord-async needs Python 3.11 or newer, and \"$(PYTHON)\" is %d.%d: say make PYTHON=python3.11" % sys.version_info[:2])'
	@found=$$($(PYTHON) -c 'import sys; print("%d.%d %s" % (sys.version_info[:2] + (sys.base_prefix,)))') && \
	if [ "$$(cat $@ 2>/dev/null)" != "$$found" ]; then \
	    echo "making $* with Python $$found" && \
	    $(call NEW_ENVIRONMENT,$*) && \
	    echo "$$found" > $@; \
	fi

$(VENV)/locked: requirements.lock $(VENV)/interpreter
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	@touch $@

# A removed file leaves no newer one behind; a changed list of files does.
$(VENV)/sources $(DEMO)/sources: %/sources: FORCE %/interpreter
	@echo '$(sort $(SOURCES))' | tr ' ' '\n' > $@.new; if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(VENV)/installed: $(SOURCES) $(VENV)/sources $(VENV)/locked
	rm -rf $(VENV)/wheel
	$(PIP) wheel --no-build-isolation --no-deps --no-index --wheel-dir $(VENV)/wheel .
	$(PIP) install --force-reinstall --no-deps --no-index $(VENV)/wheel/*.whl
	$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@

# Small and quick, for whoever only wants to see it work: no bytecode but of what is run, and no pip once it has done its
# work. What builds the wheel is fetched by pip, for the moment, beside the libraries.
$(DEMO)/installed: $(SOURCES) requirements-demo.lock $(DEMO)/sources
	@test -x $(DEMO)/bin/pip || $(call PIP_INTO,$(DEMO))
	rm -rf $(DEMO)/wheel
	$(DEMO)/bin/python -m pip --disable-pip-version-check --quiet wheel --no-deps --wheel-dir $(DEMO)/wheel . & building=$$!; \
	    $(DEMO)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --no-deps --require-hashes -r requirements-demo.lock && wait $$building
	$(DEMO)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --force-reinstall --no-deps --no-index $(DEMO)/wheel/*.whl
	@$(DEMO)/bin/python -m pip --quiet --quiet uninstall --yes setuptools pip
	@touch $@

$(SDKS)/%/interpreter: $(VENV)/interpreter
	$(call NEW_ENVIRONMENT,$(SDKS)/$*)
	@cp $< $@

$(SDKS)/%/installed: tests/interop/requirements-encord-%.lock $(SDKS)/%/interpreter
	$(SDKS)/$*/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes -r $<
	@touch $@

.SECONDARY:

# --- the locks -----------------------------------------------------------------------------------------------------

COMPILE = $(VENV)-lock/bin/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

$(VENV)-lock/installed: Makefile
	$(PYTHON) -m venv --clear $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --disable-pip-version-check --quiet install uv==$(UV_VERSION)
	@touch $@

# The demo keeps no journal, and SQLAlchemy would be a fourth of what it downloads.
lock: $(VENV)-lock/installed ## write the lock files anew; LOCK_ARGS=--upgrade takes newer releases
	$(COMPILE) --all-extras --group dev pyproject.toml -o requirements.lock
	$(COMPILE) --extra cli --no-emit-package sqlalchemy -c requirements.lock pyproject.toml -o requirements-demo.lock
	for version in $(SDK_NEW) $(SDK_OLD); do \
	    echo "encord==$$version" | $(COMPILE) - -o tests/interop/requirements-encord-$$version.lock || exit 1; \
	done

$(VENV)-dist/installed: Makefile
	$(PYTHON) -m venv --clear $(VENV)-dist
	$(VENV)-dist/bin/python -m pip --disable-pip-version-check --quiet install build==$(BUILD_VERSION) twine==$(TWINE_VERSION)
	@touch $@

$(VENV)-audit/installed: Makefile
	$(PYTHON) -m venv --clear $(VENV)-audit
	$(VENV)-audit/bin/python -m pip --disable-pip-version-check --quiet install pip-audit==$(AUDIT_VERSION)
	@touch $@

audit: $(VENV)-audit/installed ## look for known faults in the releases of the lock; asks a source of advisories on the network
	$(VENV)-audit/bin/pip-audit --require-hashes --disable-pip -r requirements.lock
