# Shared by up.sh and down.sh; sourced, not run.
# shellcheck shell=bash disable=SC2034  # those that source it use its variables

NAMESPACE=user-tags
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CHECKOUT=$(cd "$HERE/../.." && pwd)
DRY_RUN=${DRY_RUN:-}

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Runs a command that changes something, or prints it with --dry-run.
run() {
  if [[ -n $DRY_RUN ]]; then
    printf '+ %s\n' "$*"
  else
    "$@"
  fi
}

need_tools() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || fail "$tool is not installed, or not on PATH"
  done
}

need_cluster() {
  kubectl version >/dev/null 2>&1 ||
    fail "no cluster answers: kubectl version fails. Is the context right (kubectl config current-context)?"
}

# need_right VERB RESOURCE: exits with a message that names the missing right.
need_right() {
  kubectl auth can-i "$1" "$2" --all-namespaces >/dev/null 2>&1 ||
    fail "this user may not $1 $2 in the cluster; ask for cluster-admin while installing"
}

# Lines of operators.tsv for an overlay: release, namespace, chart, version.
operators_of() {
  awk -F '\t' -v overlay="$1" '
    /^[^#]/ { n = split($5, names, ","); for (i = 1; i <= n; i++) if (names[i] == overlay) print }
  ' "$HERE/operators.tsv"
}
