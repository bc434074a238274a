# `make` lists the targets. `make ci` runs all checks that a change must pass.
.DEFAULT_GOAL := help
.PHONY: help test race lint format integration conformance simulation models proof distance mutants fuzz bench chaos docs release ci

tool = go tool -modfile=tools/go.mod

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "%-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: ## the tests of the root module; needs only Go, uses redis-server if there is one
	go test ./...

race: ## the same with the race detector
	go test -race ./...

lint: ## the linters, over the root module
	$(tool) golangci-lint run --config .golangci.yml ./...

format: ## gofumpt, in place
	git ls-files '*.go' | xargs $(tool) gofumpt -w

integration: ## real masters in containers; needs a Docker engine
	go -C integration test ./...

conformance: ## the master in memory beside real servers
	go test -count=1 ./internal/conformance -conformance.count 100

simulation: ## 100,000 schedules, on all processors
	bash internal/sim/run.sh 100000

models: ## the protocol's models; needs spin and gcc
	bash docs/model/check.sh

proof: ## the fencing tokens, for any number of nodes; needs z3
	python3 docs/proof/prove.py

distance: ## distant masters; needs root, /dev/net/tun and iproute2
	go -C integration test -count=1 ./distance

mutants: ## each mutant, with the test that finds it; takes long
	go run ./internal/mutation

fuzz: ## answers of any bytes, for half a minute
	go test ./pool -run '^$$' -fuzz FuzzReplies -fuzztime 30s

release: ## makes a release that is not published, and uses it; needs a Docker engine and mmdebstrap
	release/check

bench: ## this library beside others, in one run; needs redis-server
	go -C bench run .

chaos: ## client processes and faults, for two minutes; needs redis-server
	go -C integration run ./chaos -for 2m

docs: ## links, snippets, messages and settings of the handbook
	go test ./internal/docs

ci: ## everything; as root on Debian it installs what it needs
	bash .ci/run
