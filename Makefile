# bizra-top's chores. `make test` needs only Go: it installs and starts the rest.
.PHONY: run build test unit faults fuzz cover bench conformance lint generate

run: ## the demo
	go run ./cmd/bizra-top demo

build: ## the binary, stripped
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bizra-top ./cmd/bizra-top

# One package at a time: tests under load would otherwise measure each other.
test: ## every test, with the race detector, on private PostgreSQL, Redis and Ethereum client
	go build -race -tags integration ./...
	.ci/services go test -p 1 -race -tags integration -timeout 15m ./...

unit: ## the tests that need nothing but Go
	go test -race ./...

# BIZRA_TEST_LONG=1 asks for the long form, SHORT=1 for what make test does not run;
# ROWS=2,16 for some rows.
faults: ## what damages, starves and attacks a node: one line a fault
	go build -race -tags integration,faults ./...
	.ci/services go run ./cmd/faults $(if $(SHORT),-short) -rows '$(ROWS)'

FUZZTIME ?= 60s
fuzz: ## every fuzz target, FUZZTIME each
	.ci/fuzz $(FUZZTIME)

cover: ## coverage by package; fails below what is asked of node, probes, alerts, themes and tui
	.ci/services .ci/cover

bench: ## benchmarks of the hot paths, then a table of ratios to other libraries
	go test -run '^$$' -bench . -benchmem ./node/... ./tui/...
	cd node/bench && go run .

GETH ?= v1.17.8
TESTS ?= ../shared/execution-apis
conformance: build ## what geth answers to ethereum/execution-apis, through the gateway; TESTS is the folder tests of a checkout
	GOBIN=$(CURDIR)/.cache/geth go install github.com/ethereum/go-ethereum/cmd/geth@$(GETH)
	go run ./cmd/conformance -tests '$(TESTS)' -geth .cache/geth/geth -node ./bizra-top

lint: ## what CI checks besides the tests
	.ci/lint

generate: ## rewrite golden screens, the pictures in the README, the references of settings and metrics, what export prints
	go test ./tui/... ./cmd/bizra-top -update
