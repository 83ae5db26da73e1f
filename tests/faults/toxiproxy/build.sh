#!/usr/bin/env bash
# Builds Toxiproxy's server from Go modules and prints its path. Kept outside of the checkout, by
# the versions in go.mod and go.sum: a second run builds nothing. About a minute the first time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v go >/dev/null || { echo "go is not installed, or not on PATH" >&2; exit 1; }
sum=$(cat go.mod go.sum | sha256sum | cut -c1-12)
target=${XDG_CACHE_HOME:-$HOME/.cache}/user-tags/toxiproxy-$sum
if [[ ! -x $target ]]; then
  mkdir -p "$(dirname "$target")"
  GOFLAGS='-p=1 -mod=readonly -buildvcs=false' GOMAXPROCS=1 nice -n 19 \
    go build -o "$target.new" github.com/Shopify/toxiproxy/v2/cmd/server >&2
  mv "$target.new" "$target"
fi
echo "$target"
