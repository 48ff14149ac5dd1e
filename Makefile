# `make help` lists what there is. All of it runs on a fresh machine with a Rust toolchain, a C compiler and
# CPython 3.10 or newer; environments are made under .venv/, the wheel under dist/.

# Any Python that can run tools/; the interpreters to test are found by tools/interpreters.py.
PYTHON ?= $(shell for name in python3 python3.15 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$name && break; done)
TOOLS = .venv/tools/bin/python

.PHONY: help demo test test-newest test-free-threaded test-windows check-targets test-clusters test-clouds test-platform test-lock test-lock-odd lint test-rust test-python torture torture-short torture-archives torture-network fuzz \
	bench bench-counts bench-quick docs wheel environment clean python

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: environment ## the story in one minute: publish, import, offline, healing, upgrade
	$(TOOLS) -m magic_module demo

test: python ## everything: formatting, lints, types, Rust and Python tests, the demo
	$(PYTHON) tools/check.py

lint: python ## formatting, lints and types
	$(PYTHON) tools/check.py lint

test-rust: python ## the Rust tests
	$(PYTHON) tools/check.py rust

test-python: python ## every Python test on every interpreter (PYTHONS="3.12" limits them); `make test` runs some on one
	$(PYTHON) tools/check.py python-whole

test-newest: python ## the same on the interpreters of Debian's unstable suite, in a root that debootstrap makes (needs root)
	$(PYTHON) tools/check.py newest

check-targets: python ## clippy for the systems that wheels are made for, in a root as that one, with Debian's rustc
	$(PYTHON) tools/targets.py

test-windows: python ## the demo and the behaviours on CPython for Windows under Wine, in a root that debootstrap makes (needs root)
	$(PYTHON) tools/windows.py

test-free-threaded: python ## how imports behave on free-threaded interpreters, and from the wheel for all of 3.15, where there are such
	$(PYTHON) tools/check.py free-threaded

test-lock: python ## programs with real packages, lazily and installed (USES=DIR: scripts with a requirements.in)
	USES=$(USES) $(PYTHON) tools/check.py lock

test-lock-odd: ## the same with 700 MB of odd packages: knots, start files, plugins below the prefix, worker processes
	$(MAKE) test-lock USES=tests/lock/odd

test-clusters: python ## mounts on Dask, Ray and Spark, which it installs; `make test` runs the short form, without Ray and Spark
	$(PYTHON) tools/check.py clusters-long

test-clouds: python ## object stores: moto as S3, which it installs, and azurite as Azure (AZURITE names its azurite-blob)
	$(PYTHON) tools/check.py clouds

test-platform: python ## the example platform: its server, and its page in a browser (Debian's chromium and chromium-driver)
	$(PYTHON) tools/check.py platform

torture: python ## crashes, faults, power cuts, mutated caches, a model: the long form (an hour or two)
	$(PYTHON) tools/check.py torture-long

torture-short: python ## the same in a minute or two, as `make test` runs it
	$(PYTHON) tools/check.py torture

docs: python ## the documentation site, in dist/site; a link or anchor that leads nowhere is an error
	$(PYTHON) tools/documentation.py

bench: environment ## all measurements (USES=DIR: scripts with a requirements.in, for the job `uses`)
	USES=$(USES) $(TOOLS) benches/bench.py

bench-quick: environment ## the measurements in a minute or two
	$(TOOLS) benches/bench.py --quick

bench-counts: ## the instructions of the core, beside the committed ones (needs valgrind)
	cargo bench --locked --no-default-features --bench counts

torture-network: python ## a thousand network schedules, and a hundred processes at once
	$(PYTHON) tools/check.py torture-network

fuzz: python ## every parser, FUZZ_SECONDS=600 each (needs cargo fuzz); `make test` runs the short form
	$(PYTHON) tools/fuzz.py --seconds $(or $(FUZZ_SECONDS),600)

torture-archives: python ## 70 real wheels from the package index against the strict reader of archives
	cargo test --locked --no-default-features --test archives -- --ignored --nocapture

wheel: python ## the wheel for every Linux with glibc 2.17 or newer, in dist/portable/, and the demo from it
	$(PYTHON) tools/portable.py

environment: python
	$(PYTHON) tools/environments.py

python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10 or newer was found on PATH" >&2; exit 1; }

clean: ## remove what make made
	rm -rf .venv dist target .mypy_cache .ruff_cache .pytest_cache
