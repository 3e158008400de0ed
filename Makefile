# SPDX-License-Identifier: GPL-3.0-or-later
# A thin door: every target is a program in tests/tools, which says what it does. All that is made lies in .build.
PYTHON ?= python3
SCENARIO ?= $(notdir $(patsubst %/molecule.yml,%,$(wildcard extensions/molecule/*/molecule.yml)))
TOOLS := tests/tools
LAB := extensions/molecule/lab/lab.py
export PYTHONPYCACHEPREFIX := $(CURDIR)/.build/pycache

.DEFAULT_GOAL := help
.PHONY: help demo test bench builds rules deps venv collections lint format sanity unit docs tables build image molecule clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: deps venv collections ## boot a machine, show why it fails, mend it, checkpoint and restore on it
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/demo.py

test: ## all checks, then a summary of what ran
	@$(PYTHON) $(TOOLS)/run_all.py

bench: deps venv collections ## measure the modules against bare commands and hand-written tasks
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/bench.py

rules: deps venv collections ## switch off each rule of the policy in turn (an hour); RULE=WORD for some
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/policy_rules.py $(RULE)

builds: deps venv collections ## try four versions of CRIU from source and the rebuilt package, natively (root)
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/builds.py

deps: ## install the Debian packages that the lab and the venv need (root)
	@$(PYTHON) $(LAB) deps

venv: ## the pinned tools in .build/venv
	@$(PYTHON) $(TOOLS)/setup_venv.py venv test.txt

floor: venv
	@$(PYTHON) $(TOOLS)/setup_venv.py venv-floor floor.txt

collections: venv ## the collections that ours needs
	@$(PYTHON) $(TOOLS)/setup_collections.py

lint: collections ## ruff, mypy, yamllint, codespell, vermin, changelog, ansible-lint
	@$(PYTHON) $(TOOLS)/lint.py

format: venv ## let ruff rewrite what it can
	@.build/venv/bin/ruff check --fix-only --quiet plugins roles tests extensions
	@.build/venv/bin/ruff format plugins roles tests extensions

unit: floor ## unit and contract tests, coverage, oldest ansible-core; T="ARGUMENTS" for some of them
	@$(PYTHON) $(TOOLS)/unit.py $(T)

docs: collections ## documentation and the tables that are kept by hand
	@$(PYTHON) $(TOOLS)/docs.py

tables: venv ## rewrite the tables in the README files from the code
	@.build/venv/bin/python $(TOOLS)/documents.py --write

build: collections ## build the archive, install it, load everything in it
	@$(PYTHON) $(TOOLS)/build.py

sanity: venv ## ansible-test sanity
	@$(PYTHON) $(TOOLS)/sanity.py

image: deps ## the machine's image, and the CRIU that is tried on it
	@$(PYTHON) $(LAB) image
	@$(PYTHON) $(LAB) artifact

molecule: deps collections ## the scenarios on real machines; SCENARIO=NAME for one
	@set -e; for name in $(SCENARIO); do $(PYTHON) $(TOOLS)/scenarios.py $$name; done

clean: ## remove the machines and .build
	@if [ -d .build/lab ]; then $(PYTHON) $(LAB) down; fi
	@rm -rf --one-file-system .build
