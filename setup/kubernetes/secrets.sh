# Secrets of ours, generated in the cluster when absent and never written to disk in the checkout.
# Sourced by up.sh, after lib.sh.
# shellcheck shell=bash

has_secret() { kubectl -n "$NAMESPACE" get secret "$1" >/dev/null 2>&1; }

# ensure_password NAME: key password, 32 random hexadecimal digits. By standard input, since
# arguments can be read by everyone on the machine.
ensure_password() {
  if has_secret "$1"; then
    say "secret $1 is there"
  elif [[ -n $DRY_RUN ]]; then
    say "+ generate secret $1 (password)"
  else
    openssl rand -hex 16 | tr -d '\n' |
      kubectl -n "$NAMESPACE" create secret generic "$1" --from-file=password=/dev/stdin
  fi
}

# ensure_redis_tls: secret redis-tls (ca.crt, tls.crt, tls.key) for every node of the cluster. The
# CA's key stays apart in secret redis-ca, which no pod mounts, so that it can sign again.
ensure_redis_tls() {
  if has_secret redis-tls; then
    say "secret redis-tls is there"
  elif [[ -n $DRY_RUN ]]; then
    say "+ generate secret redis-tls (certificate), and redis-ca where absent"
  else
    # In a subshell, so that the trap is its own.
    (
      folder=$(mktemp -d)
      trap 'rm -rf "$folder"' EXIT
      if has_secret redis-ca; then
        load_ca "$folder"
      else
        make_ca "$folder"
        kubectl -n "$NAMESPACE" create secret tls redis-ca --cert="$folder/ca.crt" --key="$folder/ca.key"
      fi
      sign_node "$folder" "redis.$NAMESPACE.svc.cluster.local"
      kubectl -n "$NAMESPACE" create secret generic redis-tls --from-file="$folder/ca.crt" \
        --from-file="$folder/tls.crt" --from-file="$folder/tls.key"
    )
  fi
}

load_ca() {
  kubectl -n "$NAMESPACE" get secret redis-ca -o 'jsonpath={.data.tls\.crt}' | base64 -d > "$1/ca.crt"
  kubectl -n "$NAMESPACE" get secret redis-ca -o 'jsonpath={.data.tls\.key}' | base64 -d > "$1/ca.key"
}

make_ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj /CN=user-tags-redis-ca -keyout "$1/ca.key" -out "$1/ca.crt" 2>/dev/null
}

# sign_node FOLDER SERVICE: one certificate for all nodes, which differ in their pod's name alone.
sign_node() {
  local service=$2
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$service" \
    -keyout "$1/tls.key" -out "$1/tls.csr" 2>/dev/null
  openssl x509 -req -in "$1/tls.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -days 825 \
    -out "$1/tls.crt" 2>/dev/null -extfile <(
    printf 'subjectAltName=DNS:%s,DNS:*.%s\n' "$service" "$service"
    printf 'extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n'
  )
}
