# Everything a developer types. Thin on purpose: each target hands over to a script that runs under
# the Node that npm installs, whatever Node the machine has. Works with GNU make from 3.81 on.

.POSIX:
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: help up down status logs reset api-key signing-key flags model env install test lint typecheck architecture unit integration \
	e2e generate format test-crash test-crash-sabotage simulate bench bench-payments load gates test-cluster audit sbom fuzz parked dashboard-picture \
	demo-purchase payments audit-trail

BIN := node_modules/.bin
NODE := $(BIN)/node
UP := $(NODE) scripts/up/main.ts
NPM := npm run --silent
VITEST := $(NODE) $(BIN)/vitest run
RESULTS := .arrakis/test-results.json
SEED := 1
N := 100000
FROM := 1
EXAMPLES := 300
SCENARIO := baseline

help: ## List what can be made
	@echo 'make <target>   (ports: PORT_OFFSET=100 make up; more in docs/getting-started.md)'
	@echo
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

up: install ## Start everything here, stream a first answer, print the key and a curl line
	@$(UP) up

down: install ## Stop what `make up` started, services first, data kept
	@$(UP) down

status: install ## Show what runs, where, and since when
	@$(UP) status

logs: install ## Follow the logs; S=finn for one process
	@$(UP) logs $(S)

reset: install ## Stop everything and delete its data (asks first; FORCE=1 does not)
	@$(UP) reset

api-key: install ## Create, list, rotate, revoke API keys: make api-key A='list'
	@$(UP) keys api-key $(A)

signing-key: install ## List, rotate, retire the service's signing keys: make signing-key A='list'
	@$(UP) keys s2s $(A)

flags: install ## See and set feature flags: make flags A='set FEATURE_API_KEYS_ENABLED false'
	@$(UP) keys flags $(A)

model: install ## Fetch the small local model, once (make up does it by itself)
	@$(UP) model

env: install ## Write .env with random secrets for docker compose, unless there is one
	@$(NODE) scripts/env-file.ts

install: ## Install the npm packages if the lockfile changed
	@sh scripts/up/install.sh

test: install ## Everything: lint, types, architecture, generated files, all tests
	@echo '== lint' && $(NPM) lint
	@echo '== types' && $(NPM) typecheck
	@echo '== architecture' && $(NPM) architecture
	@if [ -f scripts/generate.ts ]; then \
		echo '== generated files' && sh scripts/lib/generated-check.sh; fi
	@echo '== model' && $(UP) model || echo 'The tests of the local model will be skipped.'
	@echo '== tests' && mkdir -p .arrakis && rm -f $(RESULTS)
	@$(VITEST) --reporter=default --reporter=json --outputFile.json=$(RESULTS)

lint: install ## ESLint and Prettier, no warnings allowed
	@$(NPM) lint

typecheck: install ## TypeScript, strict
	@$(NPM) typecheck

architecture: install ## Who may import whom, and what nothing imports
	@$(NPM) architecture

unit: install ## Tests without I/O
	@$(VITEST) --project unit

integration: install ## Tests against real PostgreSQL, Redis and NATS, which they start
	@$(VITEST) --project integration

e2e: install ## Tests with real processes
	@$(VITEST) --project e2e

test-crash: install ## Break everything under load as SEED says, then audit the books: make test-crash SEED=7
	@$(NODE) test/crash/main.ts --seed $(SEED) $(if $(SECONDS),--seconds $(SECONDS))

test-crash-sabotage: install ## Take each guard out in turn: the crash test must go red every time
	@$(NODE) test/crash/sabotage/main.ts --seed $(SEED)

test-cluster: install ## Install the chart on a cluster and show what it promises: make test-cluster A='--only rotation'
	@$(NODE) test/cluster/main.ts $(A)

simulate: install ## Simulated histories of the whole metering: make simulate N=1000000 FROM=1
	@$(NODE) loadtest/simulate.ts $(N) $(FROM)

bench: install ## Measure ourselves beside the provider alone and a peer; writes table and chart into docs
	@$(NODE) loadtest/bench/main.ts $(A)

bench-payments: install ## Measure notice to credits, the audit verifier, and what sealing costs
	@$(NODE) loadtest/bench/payments.ts $(A)

load: install ## Put load on what runs here, by k6: make load SCENARIO=smoke|baseline|ramp
	@$(NODE) scripts/load.ts $(SCENARIO)

gates: install ## Go or no-go of what runs here: make gates A='--gates health,billing'
	@GONOGO_API_KEY_FILE=.arrakis/demo-key S2S_KEY_STORE_DIR=.arrakis/keys $(NODE) services/gonogo/src/main.ts $(A)

demo-purchase: install ## Buy credits from the fake vendor, step by step: make demo-purchase A=premium
	@$(UP) tool demo-purchase $(A)

payments: install ## Payments that need a person: make payments A='list' (show, replay, resolve)
	@$(UP) tool payments $(A)

audit-trail: install ## Export and verify the books' trail: make audit-trail A='export --out trail.jsonl'
	@$(UP) tool audit $(A)

audit: install ## npm audit, judged with the exceptions we explain; and the lockfile rules
	@$(NODE) scripts/dependencies/check.ts
	@$(NODE) scripts/dependencies/audit.ts

sbom: install ## Write the CycloneDX bill of materials of what ships to .arrakis/sbom.cdx.json
	@$(NODE) scripts/dependencies/sbom.ts

fuzz: install ## Fuzz the public API for longer: make fuzz SEED=7 EXAMPLES=300
	@FUZZ_SEED=$(SEED) FUZZ_EXAMPLES=$(EXAMPLES) $(VITEST) test/front/fuzz.test.ts

parked: install ## Usage events that were put aside: NATS_URL=... make parked A=list
	@$(NODE) scripts/parked.ts $(A)

dashboard-picture: install ## Draw the Grafana dashboard from real traffic into docs/images
	@$(NODE) scripts/dashboard-picture.ts

generate: install ## Write the generated files anew
	@$(NPM) generate

format: install ## Format and fix what can be fixed
	@$(NPM) format
