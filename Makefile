# make demo: sets up and runs the main job on rendered faces. make test: sets up and runs the tests. make test-core: those of
# the parts that everything rests on, in under two minutes. make docs: the site, into build/docs/html; a broken link fails.
# make dist: what can be installed elsewhere, in dist/.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-core test-slow check docs dist clean

demo: $(VENV)/.installed
	$(BIN)/python tools/demo.py --out demo

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-core: $(VENV)/.installed
	$(BIN)/python -m pytest -m core -n 2 --dist worksteal

test-slow: $(VENV)/.docs-installed
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal

docs: $(VENV)/.docs-installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto docs build/docs/html

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all,dev]"
	touch $@

$(VENV)/.docs-installed: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all,dev,docs]"
	touch $@

dist: $(VENV)/.installed
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf $(VENV) build dist *.egg-info
