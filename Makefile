# Needs Python >= 3.11 with pip, and make. Everything else is fetched into .tools and .venv.
PYTHON ?= python3
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
RUN := .venv/bin/python -m
READY := .venv/.synced
# Pages made from the code; those of pictures need the story of a demo and are made by hand: docs/make_screenshots.py.
MADE := problem_reference api_reference decision_list alert_examples
SITE := .venv/bin/zensical build --strict --clean

# A caller's own environment must not decide which packages are found.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME UV_PROJECT_ENVIRONMENT CONDA_PREFIX
# uv takes the Python that is here: it may not be allowed to fetch one.
export UV_PYTHON_DOWNLOADS := never
# What `make demo` may be given, handed to its shell as it is: names may hold spaces and quotes.
export DATA TARGET EVENT_TIME KEY DROP

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-long check fix docs bench

help: ## show these lines
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup: $(READY) ## make the virtual environment from the lock file

demo: $(READY) ## the whole story in three minutes; DATA=file.csv TARGET=column tells it on your data
	@set --; \
	[ -z "$$DATA" ] || set -- "$$@" --data "$$DATA"; \
	[ -z "$$TARGET" ] || set -- "$$@" --target "$$TARGET"; \
	[ -z "$$EVENT_TIME" ] || set -- "$$@" --event-time "$$EVENT_TIME"; \
	[ -z "$$KEY" ] || set -- "$$@" --key "$$KEY"; \
	set -f; IFS=,; for column in $$DROP; do set -- "$$@" --drop "$$column"; done; unset IFS; \
	exec .venv/bin/perennial demo "$$@" $(ARGS)

up: $(READY) ## the long-running stack; Ctrl-C stops all of it
	@exec .venv/bin/perennial up $(ARGS)

test: $(READY) ## the test suite, as CI runs it
	@$(RUN) pytest -m "not long" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(READY) ## larger sizes of the same tests
	@$(RUN) pytest -m long $(ARGS)

check: $(READY) ## lint, format, types, import contracts, lock file, documentation; changes nothing
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	.venv/bin/lint-imports
	$(UV) lock --check
	$(SITE)

fix: $(READY) ## mend what can be mended by itself
	$(RUN) ruff check --fix .
	$(RUN) ruff format .
	$(UV) lock
	@for page in $(MADE); do .venv/bin/python docs/make_$$page.py || exit 1; done

docs: $(READY) ## the documentation as pages in site/, which need no network; a warning is an error
	@$(SITE) && echo "open site/index.html, or with a search: .venv/bin/zensical serve"

bench: $(READY) ## run every benchmark, writing benchmarks/results/*.json
	@found=; for file in benchmarks/*.py; do \
		grep -qs '^if __name__ == "__main__"' "$$file" || continue; \
		found=yes; name=$${file##*/}; echo "== $$name"; \
		$(RUN) "benchmarks.$${name%.py}" $(ARGS) || exit 1; \
	done; [ -n "$$found" ] || echo "benchmarks/ holds no benchmark yet"

$(READY): uv.lock pyproject.toml | $(UV)
	$(UV) sync --frozen
	@touch $@

# --target works where a distribution's own Python refuses any other install (PEP 668), and
# without the venv module.
.tools/bin/uv:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target .tools uv
