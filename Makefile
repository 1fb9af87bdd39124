# netdojo's build. `make demo` runs the main job, `make test` proves the product.

KUBERNETES_VERSION := 1.36.3
export CGO_ENABLED := 0

version_pkg := k8s.io/component-base/version
ldflags := -s -w \
	-X $(version_pkg).gitVersion=v$(KUBERNETES_VERSION) \
	-X $(version_pkg).gitMajor=1 \
	-X $(version_pkg).gitMinor=36 \
	-X $(version_pkg).gitTreeState=clean

.PHONY: build demo test lint bench clean

build: bin/netdojo-coredns bin/netdojo-cluster bin/netdojo

# The go command knows best whether a program is up to date.
.PHONY: bin/netdojo bin/netdojo-cluster bin/netdojo-coredns cmd/netdojo-cluster/packed/netdojo-helper

bin/netdojo:
	go build -ldflags '$(ldflags)' -o $@ ./cmd/netdojo

bin/netdojo-coredns:
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-coredns

bin/netdojo-cluster: cmd/netdojo-cluster/packed/netdojo-helper
	go build -ldflags '$(ldflags)' -o $@ ./cmd/netdojo-cluster

cmd/netdojo-cluster/packed/netdojo-helper:
	go build -ldflags '-s -w' -o $@ ./cmd/netdojo-helper

demo: build
	bin/netdojo run 04 --wait-timeout

clean:
	rm -rf bin cmd/netdojo-cluster/packed/netdojo-helper
