# netdojo's build. `make demo` runs the main job, `make test` proves the product.

KUBERNETES_VERSION := 1.36.3
export CGO_ENABLED := 0

version_pkg := k8s.io/component-base/version
ldflags := -s -w \
	-X $(version_pkg).gitVersion=v$(KUBERNETES_VERSION) \
	-X $(version_pkg).gitMajor=1 \
	-X $(version_pkg).gitMinor=36 \
	-X $(version_pkg).gitTreeState=clean

golangci_lint_version := v2.15.0
golangci_lint := bin/tools/golangci-lint-$(golangci_lint_version)
govulncheck_version := v1.9.0
freeze_version := v0.2.2
freeze := bin/tools/freeze-$(freeze_version)

.PHONY: build demo test fuzz differential agree conformance conformance-short lint cross vuln bench screens docker kind-image kind-cilium test-kind test-cilium parity bench-kind clean

# The client comes last: where something is missing, it is not there either.
programs := netdojo-coredns netdojo-cluster netdojo-agent netdojo-helper netdojo-kubectl netdojo-cilium netdojo-helm netdojo
build: $(programs:%=bin/%)

# The go command knows best whether a program is up to date.
.PHONY: $(programs:%=bin/%) cmd/netdojo-cluster/packed/netdojo-helper

bin/netdojo:
	go build -ldflags '$(ldflags)' -o $@ ./cmd/netdojo

bin/netdojo-kubectl:
	go build -ldflags '$(ldflags)' -o $@ ./cmd/netdojo-kubectl

bin/netdojo-coredns:
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-coredns

bin/netdojo-cluster: cmd/netdojo-cluster/packed/netdojo-helper
	go build -ldflags '$(ldflags)' -o $@ ./cmd/netdojo-cluster

bin/netdojo-cilium:
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-cilium

bin/netdojo-agent:
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-agent

bin/netdojo-helm: cmd/netdojo-helm/packed/cilium.tgz
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-helm

# Cilium's own chart, with its licence, from the module that the engine comes from.
# The same module makes the same bytes.
cmd/netdojo-helm/packed/cilium.tgz: go.mod
	charts=$$(go list -m -f '{{.Dir}}' github.com/cilium/cilium)/install/kubernetes && \
	tar -C "$$charts" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u+w -cf - cilium | gzip -9n >$@.next
	mv $@.next $@

bin/netdojo-helper: cmd/netdojo-cluster/packed/netdojo-helper
	cp $< $@

cmd/netdojo-cluster/packed/netdojo-helper:
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-helper

demo: build
	bin/netdojo run 04 --wait-timeout

# Unit and kernel tests, then the same under the race detector, then clusters:
# those come last and alone, as they compare what the machine has before and after.
test: build
	go test -p 2 -timeout 15m $(TESTFLAGS) $$(go list ./... | grep -v '/$(e2e)$$')
	CGO_ENABLED=1 go test -race -skip '$(not_raced)' -p 2 -timeout 15m $(TESTFLAGS) $$($(light_tests))
	go test -count=1 -timeout 25m $(TESTFLAGS) ./$(e2e)

e2e := cmd/netdojo/e2e

# The packages with tests that link nothing which takes many minutes to compile
# for the race detector.
heavy := k8s.io/kubernetes/pkg/(kubelet|controlplane)|k8s.io/kubectl|go.etcd.io/etcd/server|github.com/coredns/coredns|github.com/cilium/cilium/cilium-dbg
light_tests = go list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... \
	| grep -F '.test ' | grep -vE ' ($(heavy))[/ ]' | sed 's/\.test .*//' | grep -v '/$(e2e)$$'

# The race detector's programs are not static: they cannot be an image's program.
# And a list of imports has no races.
not_raced := ^(TestRealImage|TestInUserNamespace|TestImports)$$

# A plain run of the tests tries the seeds alone.
FUZZTIME ?= 5s
fuzz:
	@grep -rHo --include='*_test.go' 'func Fuzz[A-Za-z0-9]*' . | sed 's/:func / /' | while read -r file name; do \
		echo "$$name in $${file%/*}"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$${file%/*}" </dev/null || exit 1; \
	done

# Random policies and connections: what the packet path looks up against Cilium's
# own simulator. `make test` does a fixed part of it.
PAIRS ?= 60000
SEED ?= $(shell date +%s)
differential:
	go test -count=1 -timeout 30m -run '^TestDifferential$$' -v ./datapath/policy -args -pairs $(PAIRS) -seed $(SEED)

# The same with live probes in a cluster, where netdojo explain has to agree too.
# `make test` makes a few of them.
PROBES ?= 300
agree: build
	go test -count=1 -timeout 30m -run '^TestAgree$$' -v ./$(e2e) -args -agree.probes $(PROBES) -agree.seed $(SEED)

# Kubernetes' own end-to-end tests of network policies, DNS, Services and
# EndpointSlices against the embedded cluster: FOCUS is a regular expression of specs.
FOCUS ?=
conformance: build
	go test -count=1 -tags conformance -timeout 90m -v ./internal/conformance -args -ginkgo.no-color \
		$(if $(FOCUS),-ginkgo.focus '$(FOCUS)')

# The few of them that CI runs: each kind once.
conformance-short:
	$(MAKE) conformance FOCUS='default-deny-ingress|provide DNS for services|functioning NodePort|affinity work for service with type clusterIP|EndpointSlices for Pods matching'

lint: $(golangci_lint)
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	$(golangci_lint) run ./...
	@if command -v shellcheck >/dev/null; then set -x; shellcheck -s bash -S warning -e SC1090 .ci/run $$(git ls-files '*.sh'); \
		else echo "shellcheck is not installed: scripts were not checked"; fi
	@if curl -fsS -o /dev/null --max-time 20 "$${GOVULNDB:-https://vuln.go.dev}/index/db.json"; then $(MAKE) vuln; \
		else echo "the vulnerability database does not answer: dependencies were not checked, see make vuln"; fi

# The client for other systems. Not part of lint: each compiles all it links anew.
cross:
	GOOS=darwin GOARCH=arm64 go build -ldflags '-s -w' -o bin/darwin-arm64/ ./cmd/netdojo ./cmd/netdojo-kubectl
	GOOS=darwin GOARCH=amd64 go build -ldflags '-s -w' -o bin/darwin-amd64/ ./cmd/netdojo ./cmd/netdojo-kubectl
	GOOS=windows GOARCH=amd64 go build -ldflags '-s -w' -o bin/windows-amd64/ ./cmd/netdojo ./cmd/netdojo-kubectl

vuln:
	go run golang.org/x/vuln/cmd/govulncheck@$(govulncheck_version) ./...

$(golangci_lint):
	GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(golangci_lint_version)
	mv bin/tools/golangci-lint $@

# Whole commands on real clusters, written to docs/benchmarks.md.
bench: build
	go test -tags bench -count=1 -timeout 60m -run '^TestBenchmarks$$' -v ./$(e2e)

# The pictures of every page, from the real program on a real cluster.
screens: build $(freeze)
	NETDOJO_FREEZE=$(CURDIR)/$(freeze) go test -tags screens -count=1 -timeout 15m -run '^TestScreens$$' ./$(e2e)

$(freeze):
	GOBIN=$(CURDIR)/bin/tools go install github.com/charmbracelet/freeze@$(freeze_version)
	mv bin/tools/freeze $@

# A node image for the provider kind where there is no registry. Starts Docker
# where it does not run. Debian's packages and what was compiled stay in .kind.
kind_image := netdojo/kind-node:v$(KUBERNETES_VERSION)
kind-image: docker
	KUBERNETES_VERSION=$(KUBERNETES_VERSION) cluster/kind/nodeimage/build.sh $(kind_image) .kind

docker:
	go build -o bin/tools/runcfit ./cluster/kind/nodeimage/runcfit
	cluster/kind/nodeimage/dockerd.sh bin/tools/runcfit .kind

# The same with real Cilium in it, for --datapath cilium. Cilium is compiled from its
# module. Not part of CI.
kind_cilium := netdojo/kind-cilium:v$(KUBERNETES_VERSION)
kind-cilium: docker bin/netdojo-helm
	cluster/kind/nodeimage/cilium.sh bin/netdojo-helm .kind/cilium
	KUBERNETES_VERSION=$(KUBERNETES_VERSION) cluster/kind/nodeimage/build.sh $(kind_cilium) .kind .kind/cilium/archives/*.tar

# What the provider kind promises, on Docker.
test-kind: build kind-image
	go test -tags kind -count=1 -timeout 25m $(TESTFLAGS) -run '^TestKind' ./$(e2e)

# Lab 04 on real Cilium. SAVE=1 keeps what cilium-dbg prints in the e2e tests' testdata.
test-cilium: build kind-cilium
	go test -tags kind -count=1 -timeout 25m $(TESTFLAGS) -run '^TestCilium' ./$(e2e) -args $(if $(SAVE),-cilium.save)

# Real Cilium against our datapath, policy by policy. Writes docs/parity.md.
parity: build kind-image kind-cilium
	go test -tags parity -count=1 -timeout 60m -run '^TestParity$$' -v ./$(e2e) -args -parity.out $(CURDIR)/docs/parity.md

# kind clusters beside those that a user makes by hand, in docs/benchmarks.md.
bench-kind: build kind-image kind-cilium
	go test -tags bench,kind -count=1 -timeout 60m -run '^TestBenchKind$$' -v ./$(e2e)

clean:
	rm -rf .kind bin cmd/netdojo-cluster/packed/netdojo-helper cmd/netdojo-helm/packed/cilium.tgz
