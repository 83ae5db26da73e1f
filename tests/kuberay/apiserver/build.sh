#!/usr/bin/env bash
# Builds kube-apiserver and the KubeRay operator from Go modules and prints the folder they are in.
# Kept outside of the checkout, by the versions in go.mod: a second run builds nothing. Takes about
# 12 minutes of one core the first time, and 4 GB for Go's own cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/user-tags/kubernetes

command -v go >/dev/null || { echo "build.sh: go is not installed, or not on PATH" >&2; exit 1; }

# build NAME PACKAGE LDFLAGS: into a folder named by what go.mod and go.sum say.
build() {
  local name=$1 package=$2 flags=$3 sum target
  sum=$(cat "$here/$name/go.mod" "$here/$name/go.sum" | sha256sum | cut -c1-12)
  target=$cache/$name-$sum
  if [[ ! -x $target ]]; then
    echo "building $name, once" >&2
    (cd "$here/$name" && GOFLAGS='-p=1 -mod=readonly -buildvcs=false' GOMAXPROCS=1 \
      nice -n 19 go build -o "$target.new" -ldflags "-s -w $flags" "$package" >&2)
    mv "$target.new" "$target"
  fi
  ln -sf "$target" "$cache/bin/$name"
}

mkdir -p "$cache/bin"
version=$(awk '$2 == "k8s.io/kubernetes" { print $3 } $1 == "k8s.io/kubernetes" { print $2 }' \
  "$here/kube-apiserver/go.mod" | head -1)
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver \
  "-X k8s.io/component-base/version.gitVersion=$version"
build kuberay-operator github.com/ray-project/kuberay/ray-operator ""
echo "$cache/bin"
