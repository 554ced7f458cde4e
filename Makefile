# Bare `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
DATA ?= target/demo-data
SEEDS ?= 500
ROUNDS ?= 5
FUZZ_SECONDS ?= 60

export CARGO_TERM_COLOR ?= auto

.PHONY: help run test lint fmt unit loom pages-test sim soak bench fuzz api-test browser-test load cluster deploy-check clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: ## Build the gateway and start a demo sale (installs a C compiler if there is none)
	@command -v cc >/dev/null || (apt-get update && apt-get install -y build-essential)
	$(CARGO) build --release --locked --bin seckill
	target/release/seckill serve --demo --data $(DATA)

test: lint unit loom pages-test ## Everything, in samples: what CI runs

lint: ## Format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings

unit: ## Unit, simulation, recovery, end-to-end and crash tests
	$(CARGO) build --locked --profile $(TEST_PROFILE) --bin seckill
	SEEDS=$(SEEDS) ROUNDS=$(ROUNDS) $(CARGO) test --locked --profile $(TEST_PROFILE) --workspace

TEST_PROFILE ?= checked

loom: ## Every interleaving of the lock-free parts
	RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 $(CARGO) test --locked --release --target-dir target/loom -p seckill-shards --test loom

pages-test: ## The pages' scripts, where Node.js is
	@if command -v node >/dev/null; then cd pages && node --test tests/scripts/; else echo "no Node.js: the scripts' tests are left out"; fi

sim: ## One seed of the simulation: make sim SEED=42
	SEED=$(SEED) $(CARGO) test --locked --profile $(TEST_PROFILE) -p seckill-shards --test simulate -- --nocapture

fmt: ## Format the sources
	$(CARGO) fmt --all

clean: ## Remove what was built
	$(CARGO) clean
