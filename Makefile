# `make help` lists the targets. Every one installs what is missing first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

STACK    ?= dev
RATE     ?= 200
DURATION ?= 240
SEED     ?= 1
# Event time (ms) between two tags: by default event time runs as fast as the clock.
STEP     ?= $(shell awk 'BEGIN { print 1000 / $(RATE) }')
# What `rebuild` rebuilds: aggregates or profiles. JOB=1 makes it a Ray job.
WHAT     ?= aggregates
# Of the simulation.
HISTORIES ?= 10000
# Of event time, for bench-day.
HOURS    ?= 24
# Duration of chaos; SEED= repeats its choice of faults, which is random otherwise.
MINUTES  ?= 30
CHAOS_SEED := $(if $(filter command line environment,$(origin SEED)),--seed $(SEED))
FAULT_RATE := $(if $(filter command line environment,$(origin RATE)),--rate $(RATE))
PANEL_PORT ?= 8090

# Its former name; a "profile" is a user's history.
ifdef PROFILE
$(error PROFILE= is called STACK= now: STACK=$(PROFILE))
endif

PYTHON := .venv/bin/python
LOCAL  := $(PYTHON) -m setup.local --stack $(STACK)
WEB    := tests/webpanel/ui/web
SHELL_FILES := setup/install.sh setup/ingress/haproxy .ci/run $(wildcard setup/kubernetes/*.sh \
	kuberay/base/redis/*.sh kuberay/components/*/*.sh kuberay/overlays/*/*/*.sh tests/kuberay/*/*.sh tests/faults/toxiproxy/*.sh)
PANEL  := $(PYTHON) -m tests.webpanel --rate $(RATE) --duration $(DURATION) --seed $(SEED) --step $(STEP)

# Each with a cluster of three nodes.
NODE_TESTS := $(addprefix test_,$(addsuffix .py,lost_node lost_head nodes replaced_node scale_out sentinel))

# Tests that want the machine for themselves, on one platform that they share; then the others, $(2)
# files at a time, because most of the time they wait. Tests of one file share servers. Long files come
# first (tests/conftest.py).
ALONE := $(addprefix tests/,contract faults guarded metrics system tools kuberay/test_redis_nodes.py)
run_tier = status=0; $(PYTHON) -m pytest $(ALONE) --tier=$(1) || status=1; \
	$(PYTHON) -m pytest tests $(ALONE:%=--ignore=%) --tier=$(1) --numprocesses $(2) --dist loadfile --no-loadscope-reorder || status=1; \
	exit $$status

# Tests that start one SQL server.
SQL_TESTS = $(addprefix tests/,contract/test_aggregates.py tools/test_erase.py tools/test_verify_and_rebuild.py) \
	$(shell grep -l mariadb_stores tests/stores/test_*.py) tests/local/test_stores.py \
	$(filter-out %/test_galera.py,$(wildcard tests/sink/test_*.py))

.PHONY: help setup run test test-all test-long test-mysql simulate up metrics trace-tag down status panel rebuild verify erase \
	panel-ui page logs clean-data lint render test-kubernetes test-nodes test-compose bench-day bench faults chaos \
	docs results soak

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables   STACK=$(STACK) RATE=$(RATE) DURATION=$(DURATION) SEED=$(SEED) STEP=$(STEP) HTTP_PORT=8000 PANEL_PORT=$(PANEL_PORT)"

setup: ## Install what is missing: Debian packages, .venv, Kafka's jars; STACK=cluster: Galera, too; STACK=mysql: MySQL
	@setup/install.sh
	@$(if $(filter cluster,$(STACK)),setup/install.sh galera)
	@$(if $(filter mysql,$(STACK)),setup/install.sh mysql)

run: setup ## Start on fresh data, run a Web Panel subscription, show its score
	@$(LOCAL) fresh && $(LOCAL) panel -- $(PANEL)

test: setup ## 6 minutes: pure tests, stores, the contract, a kill of each kind; at each change
	@setup/install.sh galera
	@setup/install.sh prometheus
	@$(call run_tier,test,2)

test-all: setup page ## 20 minutes: the rest of the tests but for the long ones; before a merge
	@setup/install.sh galera
	@setup/install.sh chromium
	@setup/install.sh prometheus
	@$(call run_tier,test-all,3)

test-long: setup ## An hour: system tests for DURATION seconds each, two Ray clusters, Galera, mutants
	@setup/install.sh galera
	@TAGS_TEST_SECONDS=$(DURATION) TAGS_TEST_KILL_EVERY_S=10 $(PYTHON) -m pytest tests --tier=test-long
	@TAGS_TEST_SECONDS=$(DURATION) TAGS_TEST_KILL_EVERY_S=10 $(PYTHON) -m pytest tests/system/test_subscription.py

test-mysql: setup ## 15 minutes: the tests that start a MariaDB, on MySQL; after a change of SQL
	@setup/install.sh mysql
	@TAGS_TEST_STACK=mysql $(PYTHON) -m pytest $(SQL_TESTS)

simulate: setup ## HISTORIES= made-up histories of the profile view, and its rules taken out in turn
	@TAGS_TEST_SECONDS=1 TAGS_TEST_HISTORIES=$(HISTORIES) $(PYTHON) -m pytest tests/simulation --timeout 0

up: setup ## Start the platform, or what of it does not run
	@$(LOCAL) up

metrics: setup ## Start Prometheus with our alert rules beside what runs
	@setup/install.sh prometheus && $(LOCAL) metrics

trace-tag: setup ## Show the path of one tag: REQUEST_ID=… or COOKIE=… TIME=…
	@$(LOCAL) exec -- $(PYTHON) -m actors.tools.trace_tag \
		$(if $(REQUEST_ID),--request-id '$(REQUEST_ID)',--cookie '$(COOKIE)' --time '$(TIME)')

down: ## Stop the platform; no process stays
	@test -x $(PYTHON) || exit 0; $(LOCAL) down

status: setup ## Each part's port, pid and health; lag and watermark per partition
	@$(LOCAL) status

panel: setup ## Run a subscription against what runs, after the tags that it has
	@$(LOCAL) panel -- $(PANEL)

rebuild: setup ## Make a view anew from the log: WHAT=aggregates or profiles; JOB=1 ARGS="--help"
	@$(LOCAL) exec -- $(if $(JOB),.venv/bin/ray job submit --) '$(CURDIR)/$(PYTHON)' \
		-m actors.tools.rebuild $(WHAT) $(ARGS)

verify: setup ## Compare log, MySQL and Redis and name every difference; ARGS="--from 100 --to 200"
	@$(LOCAL) exec -- $(PYTHON) -m actors.tools.verify $(ARGS)

erase: setup ## Erase COOKIE= for good, and say what the log keeps until when; ARGS="--scan"
	@$(LOCAL) exec -- $(PYTHON) -m actors.tools.erase $(ARGS) -- "$(COOKIE)"

panel-ui: setup page ## The Web Panel as a page, on PANEL_PORT
	@$(PYTHON) -m tests.webpanel.ui --port $(PANEL_PORT) --target-port $${HTTP_PORT:-8000}

page: $(WEB)/dist/index.html ## Build the Web Panel's page
	@:

$(WEB)/dist/index.html: $(wildcard $(WEB)/src/* $(WEB)/static/* $(WEB)/*.*)
	@setup/install.sh node
	@cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@cd $(WEB) && npm run --silent check && npm run --silent build

logs: setup ## Follow the logs of every part
	@$(LOCAL) logs

clean-data: setup ## Remove all data of a stopped platform
	@$(LOCAL) clean-data

lint: setup ## ruff, ruff format, mypy (strict, tests too), import contracts, shellcheck
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/mypy serve_app actors setup kuberay tests
	@report=$$(.venv/bin/lint-imports --no-cache) || { echo "$$report"; exit 1; }; tail -1 <<<"$$report"
	@.venv/bin/shellcheck -x $(SHELL_FILES)

render: setup ## Render the Kubernetes files that come from setup/
	@$(PYTHON) -m kuberay.render

docs: setup ## Write the pages that are generated from code: docs/configuration.md, docs/metrics.md
	@$(PYTHON) -m setup.docs

results: setup ## Put the tables of docs/results into the documents that show them
	@$(PYTHON) -m tests.results

test-kubernetes: setup ## 15 minutes, 30 at first: the platform as pods, in KUBECONFIG's cluster or one made here; RECORD=1
	@TAGS_TEST_KUBERNETES=1 $(if $(RECORD),TAGS_TEST_RECORD=1) $(PYTHON) -m pytest \
		tests/kuberay/apiserver tests/kuberay/pods --exitfirst

test-nodes: setup ## The same on three nodes, of which some die or join; growth; RECORD=1
	@TAGS_TEST_KUBERNETES=1 TAGS_TEST_NODES=1 $(if $(RECORD),TAGS_TEST_RECORD=1) $(PYTHON) -m pytest \
		$(addprefix tests/kuberay/pods/,$(NODE_TESTS)) --exitfirst

test-compose: setup ## The Compose file, run by Podman with images that are built here once
	@TAGS_TEST_KUBERNETES=1 $(PYTHON) -m pytest tests/compose

bench-day: setup ## HOURS= of event time through log, actors and tables; goes on where it stopped
	@$(PYTHON) -m tests.bench.day --hours $(HOURS)

bench: setup ## Run the benchmarks of tests/bench
	@setup/install.sh galera
	@setup/install.sh chromium
	@for file in tests/bench/[a-z]*.py; do echo "== $$file"; $(PYTHON) -m "$$(tr / . <<<"$${file%.py}")"; done

faults: setup ## Each fault under load, on its own: the table, in .run/table-<stack>.md
	@$(PYTHON) -m tests.faults table --stack $(STACK) $(FAULT_RATE)

soak: setup ## HOURS= under load at RATE= tags/s, STEP= ms of event time each; goes on where it stopped
	@$(PYTHON) -m tests.soak --stack $(STACK) $(if $(filter command line environment,$(origin HOURS)),--hours $(HOURS)) \
		--rate $(RATE) $(if $(filter command line environment,$(origin STEP)),--step $(STEP)) --seed $(SEED) $(ARGS)

chaos: setup ## MINUTES=30 of faults by chance under load; RATE= tags/s, SEED= repeats a sequence
	@$(PYTHON) -m tests.faults chaos --stack $(STACK) --minutes $(MINUTES) $(CHAOS_SEED) $(FAULT_RATE)
