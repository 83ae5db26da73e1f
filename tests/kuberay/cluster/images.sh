#!/usr/bin/env bash
# Builds the images of the cluster's pods and prints the archive of each, one a line: the
# platform's from kuberay/Dockerfile, the stores' as stand-ins with the names that overlay plain
# calls them by, and Kubernetes' own from what build.sh built. Kept outside of the checkout; buildah
# does again only what has changed. The first time takes about 8 minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/user-tags/kubernetes
images=$cache/images
mkdir -p "$images"
exec 9> "$images/lock"
flock 9
# What buildah and debootstrap mount is gone with this namespace, however they end.
[[ ${UNSHARED:-} ]] || UNSHARED=1 exec unshare --mount "$0" "$@"

b() { buildah --root "$cache/buildah" --runroot "$cache/buildah-run" --storage-driver overlay "$@"; }

# debian SUITE [PACKAGES]: image localhost/debian:SUITE.
debian() {
  local tar=$images/debian-$1.tar folder
  if [[ ! -e $tar ]]; then
    echo "debootstrap $1, once" >&2
    folder=$(mktemp -d)
    debootstrap --variant=minbase ${2:+"--include=$2"} "$1" "$folder/root" http://deb.debian.org/debian >&2
    tar -C "$folder/root" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' \
      --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' -cf "$tar.new" .
    mv "$tar.new" "$tar"
    rm -rf "$folder"
  fi
  b inspect --type image "localhost/debian:$1" >/dev/null 2>&1 ||
    b bud -q -t "localhost/debian:$1" -f - "$images" >&2 <<< $'FROM scratch\nADD '"debian-$1.tar"$' /\n'
}

# bud NAME ARGUMENT...: an image; prints its id.
bud() { b bud -q --isolation chroot --pull-never --layers -t "$@"; }

# build NAME ARGUMENT...: an image of the cluster; its archive is named by its content.
build() {
  local name=$1 id archive
  id=$(bud "$@")
  archive=$images/$(tr '/:' '--' <<< "${name#*/}")-${id:0:12}.tar
  if [[ ! -e $archive ]]; then
    echo "image $name" >&2
    rm -f "${archive%-*}"-*.tar
    b push -q "$name" "docker-archive:$archive.new:$name" >&2
    mv "$archive.new" "$archive"
  fi
  echo "$archive"
}

# binary NAME BINARY PATH: an image of one static binary.
binary() {
  local folder
  folder=$(dirname "$(realpath "$cache/bin/$2")")
  build "$1" --build-context "built=$folder" -f - "$here/images" <<TEXT
FROM scratch
COPY --from=built $2 $3
USER 65532:65532
ENTRYPOINT ["$3"]
TEXT
}

debian bookworm
debian trixie redis-server
"$checkout/setup/install.sh" mysql >&2
bud docker.io/rayproject/ray:2.60.0-py311-cpu "$here/images/base" >/dev/null
# The machine's certificates and settings, for one whose way to PyPI has a certificate of its own.
own=(-v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
[[ ! -e /etc/pip.conf ]] || own+=(-v /etc/pip.conf:/etc/pip.conf:ro)
build docker.io/library/user-tags:0.1.0 "${own[@]}" -f "$checkout/kuberay/Dockerfile" \
  --ignorefile "$checkout/kuberay/Dockerfile.dockerignore" "$checkout"
build docker.io/apache/kafka:4.3.1 --build-context "kafka=$checkout/.cache/kafka" "$here/images/kafka"
build docker.io/library/mysql:8.4.7 --build-context "mysql=$checkout/.cache/mysql" "$here/images/mysql"
build docker.io/library/redis:7.2.14-bookworm "$here/images/redis"
for name in registry.k8s.io/pause:3.10.1 docker.io/library/busybox:latest; do
  build "$name" --build-context debian=/bin "$here/images/busybox"
done
binary registry.k8s.io/coredns/coredns:v1.14.6 coredns /coredns
binary docker.io/rancher/local-path-provisioner:v0.0.30 \
  local-path-provisioner /bin/local-path-provisioner
binary quay.io/kuberay/operator:v1.5.0 ray-operator /manager
