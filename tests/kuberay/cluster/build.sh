#!/usr/bin/env bash
# Builds Kubernetes, CoreDNS, the storage provisioner and the network policies from Go modules, and
# prints the folder that they are in. Kept outside of the checkout, by the versions in go.mod and
# go.sum: a second run builds nothing. The first one takes about 15 minutes of two cores and 12 GB
# for Go's own caches.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/user-tags/kubernetes

command -v go >/dev/null || { echo "build.sh: go is not installed, or not on PATH" >&2; exit 1; }

# build MODULE LDFLAGS PACKAGE...: all at once, since they share most of their packages.
build() {
  local module=$1 flags=$2 sum target
  shift 2
  sum=$(cat "$here/$module"/go.{mod,sum} "$here/$module"/*.go | sha256sum | cut -c1-12)
  target=$cache/$(basename "$module")-$sum
  if [[ ! -d $target ]]; then
    echo "building $(basename "$module"), once" >&2
    rm -rf "$target.new"
    mkdir -p "$target.new"
    (cd "$here/$module" && CGO_ENABLED=0 GOFLAGS='-mod=readonly -buildvcs=false' \
      nice -n 19 go build -trimpath -o "$target.new/" -ldflags "-s -w $flags" "$@" >&2)
    # Whole or not at all: a build cut short leaves no folder that looks finished.
    mv "$target.new" "$target"
  fi
  ln -sf "$target"/* "$cache/bin/"
}

mkdir -p "$cache/bin"
version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3; exit }
  $1 == "k8s.io/kubernetes" { print $2; exit }' "$here/modules/kubernetes/go.mod")
minor=${version#v1.}
minor=${minor%%.*}
library=k8s.io/component-base/version
# kubectl and the API server refuse to talk to a version that they cannot read.
build modules/kubernetes "-X $library.gitVersion=$version -X $library.gitMajor=1
  -X $library.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$version" \
  k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubectl}
build modules/coredns "" .
build modules/local-path-provisioner "" github.com/rancher/local-path-provisioner
build modules/kuberay-operator "" github.com/ray-project/kuberay/ray-operator
build modules/kube-router "" github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
echo "$cache/bin"
