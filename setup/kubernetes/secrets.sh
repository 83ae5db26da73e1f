# Our own secrets, generated in the cluster if absent and never written to disk in the checkout.
# Sourced by up.sh, after lib.sh.
# shellcheck shell=bash

has_secret() { kubectl -n "$NAMESPACE" get secret "$1" >/dev/null 2>&1; }

# ensure_password NAME [KEY]: KEY (default: password) is 32 random hexadecimal digits. Passed by
# standard input, since arguments can be read by everyone on the machine.
ensure_password() {
  local key=${2:-password}
  if has_secret "$1"; then
    say "secret $1 is there"
  elif [[ -n $DRY_RUN ]]; then
    say "+ generate secret $1 ($key)"
  else
    openssl rand -hex 16 | tr -d '\n' |
      kubectl -n "$NAMESPACE" create secret generic "$1" --from-file="$key=/dev/stdin"
  fi
}

# ensure_certificate NAME CA HOST...: secret NAME (ca.crt, tls.crt, tls.key) for a server with any of
# the host names. The CA's key is kept in secret CA, which no pod mounts, to sign again later.
ensure_certificate() {
  local name=$1 ca=$2
  shift 2
  if has_secret "$name"; then
    say "secret $name is there"
  elif [[ -n $DRY_RUN ]]; then
    say "+ generate secret $name (certificate), and $ca where absent"
  else
    # In a subshell, so that the trap is its own.
    (
      folder=$(mktemp -d)
      trap 'rm -rf "$folder"' EXIT
      if has_secret "$ca"; then
        load_ca "$folder" "$ca"
      else
        make_ca "$folder" "$ca"
        kubectl -n "$NAMESPACE" create secret tls "$ca" --cert="$folder/ca.crt" --key="$folder/ca.key"
      fi
      sign "$folder" "$@"
      kubectl -n "$NAMESPACE" create secret generic "$name" --from-file="$folder/ca.crt" \
        --from-file="$folder/tls.crt" --from-file="$folder/tls.key"
    )
  fi
}

# names_of SERVICE: all its DNS names within the cluster.
names_of() {
  printf '%s\n' "$1" "$1.$NAMESPACE" "$1.$NAMESPACE.svc" "$1.$NAMESPACE.svc.cluster.local"
}

load_ca() {
  kubectl -n "$NAMESPACE" get secret "$2" -o 'jsonpath={.data.tls\.crt}' | base64 -d > "$1/ca.crt"
  kubectl -n "$NAMESPACE" get secret "$2" -o 'jsonpath={.data.tls\.key}' | base64 -d > "$1/ca.key"
}

# make_ca FOLDER NAME
make_ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=user-tags-$2" -keyout "$1/ca.key" -out "$1/ca.crt" 2>/dev/null
}

# sign FOLDER HOST...: one certificate for all the names, valid as long as a new CA: nothing warns of its
# end.
sign() {
  local folder=$1 names
  shift
  names=$(printf ',DNS:%s' "$@")
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$folder/tls.key" -out "$folder/tls.csr" 2>/dev/null
  openssl x509 -req -in "$folder/tls.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" \
    -CAcreateserial -days 3650 -out "$folder/tls.crt" 2>/dev/null -extfile <(
    printf 'subjectAltName=%s\n' "${names#,}"
    printf 'extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n'
  )
}
