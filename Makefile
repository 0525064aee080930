# Needs make and Python 3.11 or newer; everything else is installed into environments of its own beside this file.
#   make test    every gate and every test          make demo [KEEP=1]   the main job, shown
#   make browser-demo   the same in a browser, as a picture; needs npm
#   make lint    the gates that run no test         make bench           the benchmarks, in one table
#   make docs    builds the pages of docs into build/docs, and warns of nothing
#   make security writes docs/security.md, the list of attacks with the tests that show their outcomes
#   make mutants  takes each security check out in turn, and sees that a test fails
#   make fuzz [FUZZ_SECONDS=60]   each fuzz target for so many seconds, under atheris (Linux on x86-64)
#   make PYTHON=/path/to/python3.12 test            takes that Python for the environments

.POSIX:
.NOTPARALLEL:
.PHONY: test demo browser-demo docs bench fuzz mutants security lint format lock clean

# The first that really runs, for a name on the path may be a shim without a Python behind it.
FIND_PYTHON = for name in python3.11 python3 python3.12 python3.13 python3.14 python3.15; do \
	"$$name" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done
PYTHON ?= $(shell $(FIND_PYTHON))
VENV = .venv
DEMO = .venv-demo
PAGE = example_apps/browser_demo
BIN = $(VENV)/bin
SPREAD = --dist loadfile --numprocesses
PIP_INSTALL = -m pip install --quiet --no-compile --disable-pip-version-check --constraint .ci/constraints.txt

# Many tests start a Python of their own, which should not have to compile everything again.
PYTHONDONTWRITEBYTECODE =
export PYTHONDONTWRITEBYTECODE

# The tests of rules cover every line. Those of every combination, of crowds and of this checkout, named in apart.txt,
# are not watched for it, which makes them twice as fast; the longest of them come first there.
test: lint
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SPREAD) 3 $$(sed 's|.*|--ignore-glob=tests/&|' tests/apart.txt)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python -m pytest $(SPREAD) 5 --no-loadscope-reorder $$(sed 's|.*|tests/&|' tests/apart.txt)

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks

docs: $(VENV)/.installed
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees docs build/docs
	@echo "build/docs/index.html"

security: $(VENV)/.installed
	$(BIN)/python -m tests.gates.attack_list

mutants: $(VENV)/.installed
	$(BIN)/python -m tests.mutants

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz

demo: $(DEMO)/.installed
	$(DEMO)/bin/python -m example_apps.demo $(if $(KEEP),--keep)

browser-demo: $(DEMO)/.installed $(PAGE)/node_modules/.installed
	$(DEMO)/bin/python -m example_apps.browser_demo

# Writes .ci/constraints.txt anew from what pip chooses today.
lock:
	PYTHON="$(PYTHON)" .ci/lock

$(VENV)/.installed: pyproject.toml .ci/constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python $(PIP_INSTALL) pip editables hatchling
	$(BIN)/python $(PIP_INSTALL) --no-build-isolation --group dev --editable '.[asgi,cli,django,fastapi,flask,httpx2,redis,requests,telemetry,testing]'
	@touch $@

$(PAGE)/node_modules/.installed: $(PAGE)/package.json $(PAGE)/package-lock.json
	@command -v npm >/dev/null || { echo "npm was not found: it comes with Node.js 20 or newer" >&2; exit 1; }
	cd $(PAGE) && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

$(VENV)/.fuzz: $(VENV)/.installed
	$(BIN)/python $(PIP_INSTALL) --group fuzz
	@touch $@

$(DEMO)/.installed: pyproject.toml .ci/constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(DEMO)
	$(DEMO)/bin/python $(PIP_INSTALL) editables hatchling
	$(DEMO)/bin/python $(PIP_INSTALL) --no-build-isolation --editable '.[fastapi,testing]'
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) $(PAGE)/node_modules build dist htmlcov .coverage .coverage.*
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
