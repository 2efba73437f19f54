SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Empty outside a git checkout: tigerflow version then tells what the Go toolchain recorded.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

MODULE  := tigerflow.dev/tigerflow
CRDS    := config/crd/bases
WORKER  := executor/workerbin/bin/tigerflow-worker
TOOLS   := $(CURDIR)/bin/tools
# kubectl tells its version only if it is given one.
KUBECTL  = $(shell go -C hack/tools list -m -f '{{.Version}}' k8s.io/kubectl | sed 's/^v0/v1/')

# The race detector needs a C compiler; Go reports CGO_ENABLED=0 where it finds none.
RACE = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Helm takes no files from outside of the chart.
CHART      := config/helm/files
chart_files = mkdir -p $(1)/crd $(1)/rbac && cp $(2)/*.yaml $(1)/crd/ && cp config/rbac/{author,dispatcher,manager}.yaml $(1)/rbac/

.PHONY: generate
generate: $(TOOLS)/stamp ## Write the deepcopy code, the CRDs from the API types, and the chart's copies of CRDs and roles.
	$(TOOLS)/controller-gen object crd paths=./api/... output:crd:dir=$(CRDS)
	rm -rf $(CHART) && $(call chart_files,$(CHART),$(CRDS))

.PHONY: lint
lint: $(TOOLS)/stamp ## Check style, import rules and API conventions.
	$(TOOLS)/golangci-lint-kube-api-linter run --allow-parallel-runners ./...

.PHONY: test
test: test-go test-python test-slurm test-kubernetes lint verify ## Run every check: what CI runs.

.PHONY: test-go
test-go: worker $(TOOLS)/kubectl ## Run the Go tests, with the race detector.
	@if [[ -z "$(RACE)" ]]; then \
		echo "no C compiler found (go env CGO_ENABLED): the race detector is left out; with CI=true that is a failure" >&2; \
		[[ "$${CI:-}" != true ]]; \
	fi
	hack/test-tools.sh
	PATH="$(TOOLS):$$PATH" go test $(RACE) -timeout 30m ./...

SEEDS     ?= 1000
FROM      ?= 1000
PIPELINES ?= 200
FILES     ?= 10000

.PHONY: soak
soak: ## Run the fault tests for long: make soak SEEDS=1000 FROM=5000 PIPELINES=200 FILES=10000. Needs root.
	go test $(RACE) -timeout 24h ./test/faults -v -run 'TestSeeds|TestPipelines' -seeds $(SEEDS) -from $(FROM) -pipelines $(PIPELINES) -pipeline-files $(FILES)

.PHONY: test-slurm
test-slurm: build ## Run the tests that need Slurm on real clusters in namespaces. Needs root.
	RACE="$(RACE)" hack/slurm/all.sh

.PHONY: test-kubernetes
test-kubernetes: build ## Run the tests that need Kubernetes on a real cluster in namespaces. Needs root.
	hack/kubernetes/test.sh

.PHONY: test-python
test-python: build ## Run the tests of the Python package.
	cd task/python && python3 -B -m unittest discover -s tests

.PHONY: verify
verify: $(TOOLS)/stamp ## Fail if generated files or go.mod are out of date.
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(TOOLS)/controller-gen object crd paths=./api/... output:object:dir="$$tmp/api" output:crd:dir="$$tmp/crd"; \
	diff -u api/v1alpha1/zz_generated.deepcopy.go "$$tmp/api/zz_generated.deepcopy.go" && \
	diff -ru $(CRDS) "$$tmp/crd" && \
	$(call chart_files,"$$tmp/chart","$$tmp/crd") && diff -ru $(CHART) "$$tmp/chart" || { echo "generated files are out of date: run make generate" >&2; exit 1; }
	go mod tidy -diff

.PHONY: build
build: worker ## Build bin/tigerflow and bin/slurmbridge.
	go build -trimpath -ldflags "-s -w $(if $(VERSION),-X $(MODULE)/internal/version.Version=$(VERSION))" -o bin/ ./cmd/tigerflow ./cmd/slurmbridge

# The worker is a static binary, as it runs on nodes and in images that are not ours; those that start it carry it inside.
.PHONY: worker
worker:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(WORKER) ./cmd/worker

# Each folder of images with an image.yaml is one. BASE names an image to build them upon, in a registry or as an OCI archive.
IMAGES    := $(patsubst %/image.yaml,%,$(wildcard images/*/image.yaml))
PLATFORMS ?= linux/amd64,linux/arm64
BASE      ?=

.PHONY: images
images: ## Build the container images as OCI archives in bin/images: make images PLATFORMS=linux/amd64 BASE=IMAGE.
	go run ./hack/images -o bin/images -version "$(or $(VERSION),dev)" -platforms "$(PLATFORMS)" -base "$(BASE)" $(IMAGES)

.PHONY: demo
demo: build ## Run a Go task and a Python task over the Go standard library.
	hack/demo.sh

.PHONY: bench
bench: build ## Print speed, memory and idle cost next to their goals; ROW="Python echo" measures that row only.
	hack/bench.sh $(if $(ROW),-only '$(ROW)')

.PHONY: bench-slurm
bench-slurm: build ## Print the figures of Slurm Tasks, measured in a cluster in namespaces; ROW=tiny measures that row only. Needs root.
	hack/slurm/bench.sh $(if $(ROW),-only '$(ROW)')

.PHONY: bench-kubernetes
bench-kubernetes: ## Print what the manager of a cluster costs with 2,000 Tasks, next to the goals.
	hack/kubernetes/bench.sh

.PHONY: clean
clean: ## Remove what was built.
	rm -rf bin _demo $(WORKER)

# A change of their go.mod builds the tools anew.
$(TOOLS)/stamp: hack/tools/go.mod hack/tools/go.sum
	@echo "building the tools of hack/tools; the first time takes some minutes"
	GOBIN=$(TOOLS) go -C hack/tools install -trimpath tool
	touch $@

# The tests' kubectl is built by itself: they are not to wait for the linters.
$(TOOLS)/kubectl: hack/tools/go.mod hack/tools/go.sum
	GOBIN=$(TOOLS) go -C hack/tools install -trimpath -ldflags "-X k8s.io/component-base/version.gitVersion=$(KUBECTL)" ./kubectl
