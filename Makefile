# The commands of the house; `make` alone lists them. Everything but `install` installs first.

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# The first Python here that is new enough; `make install PYTHON=/path/to/python3.12` overrides.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
ARCHIVE ?=
PYTEST_ARGS ?=
# A program for each core, four at most: each loads models of its own. Files stay whole, as their fixtures do.
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help install demo serve test test-slow check bench lock wheel sbom audit clean

help:
	@echo "make install     create $(VENV) with everything in requirements.lock; leaves $(BIN)/indexer"
	@echo "make demo        ingest sample clips and search them; ARCHIVE=/path for your own folder"
	@echo "make serve       serve the demo's library at http://127.0.0.1:8000"
	@echo "make test        the tests, under 12 minutes on two cores"
	@echo "make test-slow   the longer tests that make test leaves out"
	@echo "make check       format, lint, types, layers and the tests that take seconds"
	@echo "make bench       side-by-side measurements, written to benchmarks/results/"
	@echo "make wheel       build dist/reelseek-*.whl, and what it brings along, dist/reelseek.cdx.json"
	@echo "make audit       ask the registry's advisories about every package in requirements.lock"
	@echo "make lock        bring requirements.lock up to pyproject.toml; UPGRADE=1 takes newer versions"

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "reelseek needs Python 3.11 or newer; found: $$("$(or $(PYTHON),python3)" -V 2>&1 || true)." >&2; \
		echo "Name one with: make install PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@echo "installing into $(VENV) (on Linux several GB, with torch's CUDA libraries)"
	@"$(BIN)/python" -c 0 2>/dev/null || "$(PYTHON)" -m venv --clear "$(VENV)"
	@set -euo pipefail; start=$$SECONDS; log="$(VENV)/install.log"; \
	echo "  $$(grep -c == requirements.lock) packages, as requirements.lock says"; \
	PYTHONUNBUFFERED=1 "$(BIN)/python" -m pip install --disable-pip-version-check --no-color --no-input \
		--no-deps --requirement requirements.lock 2>&1 | tee "$$log" | while read -r verb file rest; do \
		case "$$verb $$rest" in \
		Downloading*"("[1-9][0-9].[0-9]*" MB)"|Downloading*"("[1-9][0-9][0-9].[0-9]*" MB)") \
			wheel="$${file##*/}"; echo "    $${wheel%%-[a-z]*} $${rest##* (}" ;; \
		Installing*) echo "  unpacking (a minute or two)" ;; esac; done \
		|| { echo "pip could not install requirements.lock:" >&2; grep -v "already satisfied" "$$log" | tail -n 15 >&2; exit 1; }; \
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	echo "installed in $$((SECONDS - start)) s: $(BIN)/indexer"
	@touch "$@"

demo: install
	@PATH="$(abspath $(BIN)):$$PATH" ARCHIVE="$(ARCHIVE)" bash docs/demo.sh

serve: install
	"$(BIN)/indexer" serve $(if $(REELSEEK_LIBRARY),,$(if $(wildcard .demo/library),--library .demo/library))

test: install
	"$(BIN)/python" -m pytest -m "not slow" $(PARALLEL) $(PYTEST_ARGS)

test-slow: install
	"$(BIN)/python" -m pytest -m slow $(PARALLEL) $(PYTEST_ARGS)

check: install
	"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"
	"$(BIN)/python" -m pytest -q -m "not slow" $(PARALLEL) $(PYTEST_ARGS)

bench: install
	"$(BIN)/python" -m benchmarks.bench_ingest
	"$(BIN)/python" -m benchmarks.bench_decode
	"$(BIN)/python" -m benchmarks.bench_search
	"$(BIN)/python" -m benchmarks.bench_http
	"$(BIN)/python" -m benchmarks.growth --sizes 1000,10000,20000 --plot docs/images/growth.svg
	"$(BIN)/python" -m benchmarks.performance_page

wheel: install sbom
	"$(BIN)/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

# CycloneDX: what a user installs with the wheel, in the versions that the tests ran with.
sbom:
	@set -euo pipefail; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; mkdir -p dist; \
	"$(PYTHON)" -m venv "$$folder/venv"; "$$folder/venv/bin/python" -m pip install --quiet uv cyclonedx-bom; \
	"$$folder/venv/bin/uv" pip compile pyproject.toml --constraint requirements.lock --universal \
		--python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--quiet --output-file "$$folder/runtime.txt"; \
	"$$folder/venv/bin/cyclonedx-py" requirements "$$folder/runtime.txt" --pyproject pyproject.toml \
		--output-reproducible --output-file dist/reelseek.cdx.json; \
	ls dist/reelseek.cdx.json

# It fails where a package has a known hole, and where the registry has no advisories to ask.
audit:
	@set -euo pipefail; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	"$(PYTHON)" -m venv "$$folder/venv"; "$$folder/venv/bin/python" -m pip install --quiet pip-audit; \
	"$$folder/venv/bin/pip-audit" --requirement requirements.lock --no-deps --disable-pip --strict \
		--progress-spinner off

# No hashes: one file serves every platform, and a torch built for another accelerator under the same
# version stays installable. No index: where packages come from is the reader's own affair.
lock:
	@set -euo pipefail; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	"$(PYTHON)" -m venv "$$folder/venv"; "$$folder/venv/bin/python" -m pip install --quiet uv; \
	cp requirements.lock "$$folder/lock"; \
	"$$folder/venv/bin/uv" pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		$(if $(UPGRADE),--upgrade) --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--quiet --output-file "$$folder/lock"; \
	{ echo "# Exact versions for every platform, written by 'make lock'."; cat "$$folder/lock"; } > requirements.lock

clean:
	rm -rf "$(VENV)" .demo .bench dist build
