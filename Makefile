# SPDX-License-Identifier: GPL-3.0-or-later
# Every target runs a program in tests/tools, which describes itself. All output goes to .build.
PYTHON ?= python3
SCENARIO ?= $(filter-out default,$(notdir $(patsubst %/molecule.yml,%,$(wildcard extensions/molecule/*/molecule.yml))))
TOOLS := tests/tools
LAB := extensions/molecule/lab/lab.py
export PYTHONPYCACHEPREFIX := $(CURDIR)/.build/pycache
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test bench builds rules crash crash-sample soak power reports hosts fresh fresh-sample deps venv collections lint format sanity unit fuzz fuzz-sample docs tables build disk image molecule clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: deps venv collections ## boot a machine, show why checkpoints fail on it, enable it, checkpoint and restore (root)
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/demo.py

test: ## run all checks, then print a summary (root)
	@$(PYTHON) $(TOOLS)/run_all.py

bench: deps venv collections ## measure the modules against plain commands and hand-written tasks (root)
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/bench.py

rules: deps venv collections ## switch off each rule of the SELinux policy in turn, about an hour; RULE=WORD for some (root)
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/policy_rules.py $(RULE)

builds: deps venv collections ## build four versions of CRIU and the rebuilt package in chroots, about 15 minutes (root)
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/builds.py

crash: deps venv collections image ## stop, kill and starve each task at each step, with real CRIU; CRASH="ARGUMENTS" for some (root)
	@$(PYTHON) $(TOOLS)/crash.py $(CRASH)

crash-sample: deps venv collections image
	@$(PYTHON) $(TOOLS)/crash.py --sample

soak: deps venv collections image ## checkpoint and restore CYCLES times, with a kill in half of them; SEED=NUMBER repeats a run (root)
	@$(PYTHON) $(TOOLS)/soak.py $(or $(CYCLES),1000) $(SEED)

power: deps venv collections ## reset a machine in the middle of checkpoints into a store (root)
	@$(PYTHON) $(TOOLS)/scenarios.py power_loss

reports: deps venv collections image ## try what people reported elsewhere, with real podman, CRIU and systemd; NAME=REPORT for one (root)
	@if [ -n "$(SUITE)" ]; then $(PYTHON) $(LAB) node $(SUITE); fi
	@$(PYTHON) $(TOOLS)/reports.py $(SUITE) $(NAME)

hosts: deps venv collections ## enable a host of each kind that make test does not cover, one at a time; NAME=MACHINE for one (root)
	@$(PYTHON) $(TOOLS)/in_env.py $(TOOLS)/hosts.py $(NAME)

fresh: venv ## run the checks that need no machine on a fresh Debian; SUITE=bookworm or SUITE=trixie (root)
	@$(PYTHON) $(TOOLS)/fresh.py $(SUITE)

fresh-sample: venv
	@$(PYTHON) $(TOOLS)/fresh.py --sample

deps: ## install the Debian packages that the lab and the venv need (root)
	@$(PYTHON) $(LAB) deps

venv: ## install the pinned tools in .build/venv
	@$(PYTHON) $(TOOLS)/setup_venv.py venv test.txt

floor: venv
	@$(PYTHON) $(TOOLS)/setup_venv.py venv-floor floor.txt

collections: venv ## install the collections that this one depends on in .build/collections
	@$(PYTHON) $(TOOLS)/setup_collections.py

lint: collections ## run ruff, mypy, yamllint, codespell, vermin, antsibull-changelog and ansible-lint
	@$(PYTHON) $(TOOLS)/lint.py

format: venv ## fix and format the Python code with ruff
	@.build/venv/bin/ruff check --fix-only --quiet plugins roles tests extensions
	@.build/venv/bin/ruff format plugins roles tests extensions

unit: floor ## run unit and contract tests, on the oldest ansible-core too; T="ARGUMENTS" for some
	@$(PYTHON) $(TOOLS)/unit.py $(T)

fuzz: venv ## feed every parser more than 100,000 hostile inputs, about 10 minutes; SEED=NUMBER repeats a run
	@$(PYTHON) $(TOOLS)/fuzz.py $(SEED)

fuzz-sample: venv
	@$(PYTHON) $(TOOLS)/fuzz.py sample

docs: collections ## check the documentation and the tables in the README files
	@$(PYTHON) $(TOOLS)/docs.py

tables: venv ## rewrite the tables in the README files from the code
	@.build/venv/bin/python $(TOOLS)/documents.py --write

build: collections ## build and install the collection archive, and load each plugin and role
	@$(PYTHON) $(TOOLS)/build.py

sanity: floor ## run ansible-test sanity, of the oldest ansible-core too; T="ARGUMENTS" for some
	@$(PYTHON) $(TOOLS)/sanity.py $(T)

disk: deps
	@$(PYTHON) $(LAB) image

image: disk ## make the disk image of the machines and the CRIU for them (root)
	@$(PYTHON) $(LAB) artifact

molecule: deps collections ## run the Molecule scenarios on real machines; SCENARIO=NAME for one (root)
	@set -e; for name in $(SCENARIO); do $(PYTHON) $(TOOLS)/scenarios.py $$name; done

clean: ## remove the machines and .build
	@if [ -d .build/lab ]; then $(PYTHON) $(LAB) down; fi
	@rm -rf --one-file-system .build
