# Two commands on a fresh machine with Python 3.11, pip, gcc and git: make train, make test.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
# torch without CUDA, unless TORCH_INDEX= is given empty (then PyPI's, which has CUDA on Linux).
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: help install train test lint clean

help:
	@echo "make train   install into $(VENV), train the default policy in minutes, compare it with the rules"
	@echo "make test    install into $(VENV), run all tests"
	@echo "make lint    ruff and mypy"
	@echo "ARGS=...     goes to rlsched.train or to pytest, e.g. make train ARGS='seed=1 trainer=sb3'"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rlsched needs Python 3.11 or later; give PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 --no-deps torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all,dev]"
	touch $@

train: install
	$(BIN)/python -m rlsched.train env=vmr $(ARGS)

test: install
	$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV)
