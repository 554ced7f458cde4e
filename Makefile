# Bare `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
# Where `make run` keeps its data, and `make load` finds it.
DATA ?= target/demo-data
# How much of everything: samples by default, the full counts in `make soak`.
SEEDS ?= 500
ROUNDS ?= 5
FUZZ_SECONDS ?= 60
# What cannot be had on a machine is left out and said so; with REQUIRED=1 it fails instead.
REQUIRED ?=
left_out = { echo "$(1)"; test -z "$(REQUIRED)"; }
# Quick to build and checked throughout; see Cargo.toml.
PROFILE := --locked --profile checked --workspace --all-features
FUZZ := cargo +nightly fuzz run --fuzz-dir loadtest/fuzz
REPORT := loadtest/soak-report.txt
# What the report has of rounds: each fiftieth, what they came to, and of whatever fails the round that it was in
# and the first line of what it says, cut short.
ROUNDS_TOLD := sed -unE -e '/^(SEED|test |faults: |round (50|100|150|200): )/p' -e '/^round /h' \
	-e '/ panicked at /{x;/./p;s/.*//;x;p;n;s/(.{400}).*/\1 .../;p;}'
BROWSER := loadtest/browser
# What a browser walks through: everything, or the files named.
JOURNEYS ?= journeys/*.test.js
WRK_DIR := benches/http/wrk
TOOLS_API := target/tools-api
TOOLS_SQL := target/tools-sql

.PHONY: help run cluster test lint unit loom scripts browser-sample browser-test sim soak soak-seeds \
	soak-rounds bench fuzz load \
	api-test api-sample sql-test sql-sample fmt clean \
	tools-api tools-bench tools-browser tools-fuzz tools-nginx tools-node tools-redis tools-sql

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: ## Build the gateway and start a demo sale on 127.0.0.1:8080
	@command -v cc >/dev/null || (apt-get update && apt-get install -y build-essential)
	$(CARGO) build --release --locked --bin seckill
	target/release/seckill serve --demo --data $(DATA)

cluster: tools-redis tools-nginx ## Build, and run three gateways, Redis and nginx on 127.0.0.1:8080
	$(CARGO) build --release --locked --bin seckill $(if $(filter sqlserver:%,$(SECKILL_STORE_URL)),--features sqlserver)
	deploy/cluster.sh target/release/seckill target/cluster-data

test: lint sql-sample scripts loom unit api-sample browser-sample ## Everything that proves it, in samples

lint: ## Format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features --quiet -- -D warnings
	$(CARGO) clippy --locked --workspace --quiet -- -D warnings

scripts: ## The pages' scripts, where Node.js can be had
	@if $(MAKE) --no-print-directory tools-node; then cd pages && node --test tests/scripts/; \
	else $(call left_out,Node.js cannot be had here: the tests of the pages' scripts are left out); fi

browser-test: tools-browser ## The shop in Chromium: journeys, screens, accessibility; pictures in target/screenshots
	$(CARGO) build $(PROFILE) --bin seckill
	cd $(BROWSER) && SECKILL_BIN=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/checked/seckill \
		node --test --test-reporter=spec $(JOURNEYS)

browser-sample: ## One journey of it, on a phone and on a desk
	@if $(MAKE) --no-print-directory tools-browser; then \
		$(MAKE) --no-print-directory browser-test JOURNEYS=journeys/buying.test.js; \
	else $(call left_out,Chromium or npm cannot be had here: the tests in a browser are left out); fi

loom: ## Every interleaving of stock, places and sold-out, within bounds
	RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 \
		$(CARGO) test --locked --release --target-dir target/loom -p seckill-shards --test loom

unit: tools-redis ## Units, simulation, recovery, floors, journeys through sockets and nginx, crashes
	@$(MAKE) --no-print-directory tools-nginx || $(call left_out,nginx cannot be had here: its tests are left out)
	@unshare --net ip link set lo up || $(call left_out,no network of its own here: the test of make cluster is left out)
	@test -n "$${SECKILL_TEST_SQLSERVER:-}" || echo "SECKILL_TEST_SQLSERVER names no server: what is tested on one is left out"
	$(CARGO) build $(PROFILE) --bin seckill
	SEEDS=$(SEEDS) ROUNDS=$(ROUNDS) $(CARGO) test $(PROFILE)

sim: ## One seed of the simulations: make sim SEED=42
	SEED=$(SEED) $(CARGO) test $(PROFILE) --test simulate -- --nocapture
	SEED=$(SEED) $(CARGO) test $(PROFILE) --lib every_seed_of_a_fleet -- --nocapture

soak: tools-redis ## The full counts: 100,000 seeds, 1,000 on a real Redis, 200 kills, 200 rounds of faults in a fleet; writes loadtest/soak-report.txt
	$(CARGO) build $(PROFILE) --bin seckill
	mkdir -p target
	(date -u +%F; uname -srm; nproc; git rev-parse --short HEAD) | paste -sd' ' > $(REPORT)
	$(MAKE) --no-print-directory -j2 soak-seeds soak-rounds

# Two at once: rounds wait more than they compute. All that they say is in target/soak-*.log.
soak-seeds:
	SEEDS=100000 $(CARGO) test $(PROFILE) --test simulate -- --nocapture 2>&1 | tee target/soak-seeds.log \
		| grep --line-buffered -E '^test |seeds, ' | tee -a $(REPORT)
	SEEDS=100000 $(CARGO) test $(PROFILE) --lib every_seed_of_a_fleet -- --nocapture 2>&1 \
		| tee target/soak-fleet.log \
		| grep --line-buffered -E '^test .*fleet|seeds of a fleet|^SEED' | tee -a $(REPORT)
	SEEDS=10000 $(CARGO) test $(PROFILE) --lib reconcile::tests::model -- --nocapture 2>&1 \
		| tee target/soak-model.log | grep --line-buffered -E '^test .*model|^SEED' | tee -a $(REPORT)

soak-rounds:
	ROUNDS=200 $(CARGO) test $(PROFILE) --test crash -- --nocapture 2>&1 | tee target/soak-crash.log \
		| $(ROUNDS_TOLD) | tee -a $(REPORT)
	ROUNDS=200 $(CARGO) test $(PROFILE) --test partitions -- --nocapture 2>&1 | tee target/soak-partitions.log \
		| $(ROUNDS_TOLD) | tee -a $(REPORT)

bench: tools-bench ## The gateway beside its peers, the engine, stock and wheel
	$(CARGO) build --release --locked --bin seckill
	$(CARGO) build --release --locked -p seckill-loadtest --example hello
	python3 -B benches/http/run.py
	python3 -B benches/http/run.py --servers gateway-shared --rounds 3 --seconds 60 --pause 10 --connections 64
	python3 -B benches/http/fleet.py
	python3 -B benches/http/drain.py
	$(CARGO) bench --locked --all-features --bench engine --bench flush --bench stock --bench wheel

fuzz: tools-fuzz ## Frames, tokens, requests and raw bytes, FUZZ_SECONDS each; needs a nightly toolchain
	for target in frame token request bytes; do \
		mkdir -p loadtest/fuzz/corpus/$$target; \
		$(FUZZ) $$target loadtest/fuzz/corpus/$$target loadtest/fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096; \
	done

load: ## Storm the sale of `make run` with wrk for ten seconds
	@command -v wrk >/dev/null || (apt-get update && apt-get install -y wrk)
	target/release/seckill tokens --data $(DATA) --users 200000 --out target/tokens
	cd $(WRK_DIR) && wrk -t1 -c64 -d10s --latency -s buy.lua \
		http://127.0.0.1:8080/api/v1/activities/3/orders -- $(CURDIR)/target/tokens 0 200000 1 $$RANDOM cycle

api-test: tools-api ## The API held against its own document by a fuzzer, as shopper and as operator
	$(CARGO) build $(PROFILE) --bin seckill
	python3 -B loadtest/api/run.py target/checked/seckill $(TOOLS_API)/bin/schemathesis

api-sample: ## The same, where the fuzzer can be had
	@if $(MAKE) --no-print-directory tools-api; then $(MAKE) --no-print-directory api-test; \
	else $(call left_out,Schemathesis cannot be had here: the fuzzer of the API is left out); fi

sql-test: tools-sql ## Every statement for SQL Server, linted
	python3 -B deploy/sql/lint.py $(TOOLS_SQL)/bin/sqlfluff target/sql

sql-sample: ## The same, where the linter can be had
	@if $(MAKE) --no-print-directory tools-sql; then $(MAKE) --no-print-directory sql-test; \
	else $(call left_out,sqlfluff cannot be had here: the statements for SQL Server are not linted); fi

fmt: ## Format the sources
	$(CARGO) fmt --all

clean: ## Remove what was built
	$(CARGO) clean

tools-api:
	@test -x $(TOOLS_API)/bin/schemathesis || { \
		{ python3 -c 'import ensurepip' 2>/dev/null || (apt-get update && apt-get install -y python3-venv); } \
		&& python3 -m venv $(TOOLS_API) && $(TOOLS_API)/bin/pip install --quiet schemathesis==4.32.5; }

tools-sql:
	@test -x $(TOOLS_SQL)/bin/sqlfluff || { \
		{ python3 -c 'import ensurepip' 2>/dev/null || (apt-get update && apt-get install -y python3-venv); } \
		&& python3 -m venv $(TOOLS_SQL) \
		&& $(TOOLS_SQL)/bin/pip install --quiet --require-hashes -r deploy/sql/requirements.txt; }

tools-bench:
	@{ command -v wrk nginx redis-server && test -e /usr/lib/nginx/modules/ngx_http_lua_module.so; } >/dev/null \
		|| (apt-get update && apt-get install -y wrk nginx libnginx-mod-http-lua redis-server)

tools-browser: tools-node
	@command -v chromium >/dev/null || (apt-get update && apt-get install -y chromium)
	@command -v npm >/dev/null || (apt-get update && apt-get install -y npm)
	@cd $(BROWSER) && { test node_modules/.package-lock.json -nt package-lock.json || npm ci; }

tools-nginx:
	@{ { command -v nginx || test -x /usr/sbin/nginx; } && command -v ip; } >/dev/null \
		|| (apt-get update && apt-get install -y nginx iproute2)

tools-node:
	@command -v node >/dev/null || (apt-get update && apt-get install -y nodejs)

tools-fuzz:
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked

tools-redis:
	@{ command -v redis-server && command -v openssl; } >/dev/null \
		|| (apt-get update && apt-get install -y redis-server openssl)
