# recfleet: see README.md. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TOOLS := bin/tools
export CGO_ENABLED ?= 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/recfleet/recfleet/internal/version.Version=$(VERSION)
DEMO := ./deploy/standalone/demo ./test/desktop/demodesktop
COMMANDS := ./agent/recagent ./coordinator/reccoordinator ./encoder/recencoder ./cli/recctl ./deploy/standalone/recfleet

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

.PHONY: demo
demo: build $(if $(filter s3,$(STORAGE)),$(TOOLS)/versitygw) ## record a virtual desktop end to end and show what came out (STORAGE=s3: into a bucket)
	tools/packages.sh demo
	go build -o bin/ $(DEMO)
	STORAGE=$(STORAGE) bin/demo

.PHONY: test
test: $(TOOLS)/versitygw ## run every test, with the race detector
	tools/packages.sh test
	CGO_ENABLED=1 RECFLEET_TEST_VERSITYGW=$(CURDIR)/$(TOOLS)/versitygw go test -race -timeout 15m ./...

.PHONY: faults
faults: $(TOOLS)/versitygw ## run the tests that break things for as long as life does
	tools/packages.sh test
	CGO_ENABLED=1 RECFLEET_LONG=1 RECFLEET_TEST_VERSITYGW=$(CURDIR)/$(TOOLS)/versitygw go test -race -timeout 60m ./agent/... ./test/e2e

.PHONY: build
build: ## build all programs into bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(COMMANDS)

.PHONY: generate
generate: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc ## generate the code of proto/
	$(TOOLS)/buf generate

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint $(TOOLS)/buf ## format Go and proto files
	$(TOOLS)/golangci-lint fmt
	$(TOOLS)/buf format -w proto

.PHONY: lint
lint: generate $(TOOLS)/golangci-lint $(TOOLS)/govulncheck ## check style, import arrows, and that the wire format breaks nobody
	git diff --exit-code --stat -- proto || { echo "generated code is not current: commit what make generate wrote" >&2; exit 1; }
	$(TOOLS)/buf lint proto
	$(TOOLS)/buf format --diff --exit-code proto
	$(TOOLS)/buf breaking proto --against proto/released.binpb
	$(TOOLS)/golangci-lint run
	code=0; tools/vuln.sh || code=$$?; [ $$code -eq 0 ] || [ $$code -eq 75 ] && [ -z "$(VULN_REQUIRED)" ] || exit $$code

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## look for known vulnerabilities; ends with 75 where their database cannot be reached (GOVULNDB is another)
	tools/vuln.sh

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## fuzz every decoder of outside input, each for FUZZTIME (30s)
	tools/fuzz.sh $(FUZZTIME)

.PHONY: release-proto
release-proto: $(TOOLS)/buf ## take the present proto files as what later ones must not break
	$(TOOLS)/buf build proto --exclude-source-info -o proto/released.binpb

.PHONY: check
check: lint test ## lint and test

.PHONY: bench
bench: ## measure the screen codec beside FFmpeg's lossless H.264
	tools/packages.sh test
	go test -run '^$$' -bench . -benchtime 1x ./internal/screencodec

.PHONY: bench-agent
bench-agent: build ## measure the agent beside today's command on the same desktop, then its memory for ten minutes (half an hour in all)
	tools/packages.sh bench
	go run ./test/bench/agent
	go run ./test/bench/agent -scenes mixed -soak 10m

.PHONY: bench-catalog
bench-catalog: ## measure pages of a million sessions on SQLite and Postgres, into docs/catalog.md (half an hour, 6 GB of disk)
	tools/packages.sh test
	go run ./test/bench/catalog -docs docs/catalog.md

.PHONY: bench-encode
bench-encode: ## measure mp4s beside those of today's command, made of the same frames, into docs/encoding.md (10 minutes)
	tools/packages.sh bench
	go run ./test/bench/encode -docs docs/encoding.md

.PHONY: bench-fleet
bench-fleet: ## measure 2,000 sessions against one coordinator and broker, into docs/scale.md (20 minutes, 10 GB of disk, 2 GB of /dev/shm)
	go run ./test/bench/fleet -docs docs/scale.md

# The tools are pinned in tools/go.mod; each is built once and again when its pin changes.
$(TOOLS)/buf: TOOL = github.com/bufbuild/buf/cmd/buf
$(TOOLS)/protoc-gen-go: TOOL = google.golang.org/protobuf/cmd/protoc-gen-go
$(TOOLS)/protoc-gen-go-grpc: TOOL = google.golang.org/grpc/cmd/protoc-gen-go-grpc
$(TOOLS)/golangci-lint: TOOL = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/versitygw: TOOL = github.com/versity/versitygw/cmd/versitygw
# govulncheck is pinned apart from them: it needs an older version of a library than they do.
$(TOOLS)/govulncheck: tools/vuln/go.mod
	@echo "building $(notdir $@)"
	GOBIN=$(CURDIR)/$(TOOLS) go -C tools/vuln install golang.org/x/vuln/cmd/govulncheck
	@touch $@
$(TOOLS)/%: tools/go.mod
	@echo "building $(notdir $@)"
	GOBIN=$(CURDIR)/$(TOOLS) go -C tools install $(TOOL)
	@touch $@
