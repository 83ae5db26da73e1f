#!/usr/bin/env bash
# Removes the applications from the cluster that kubectl points at. The stores keep running, and up.sh
# brings the applications back. (Kafka cannot be paused, and a deleted Kafka resource loses the id of
# the cluster whose data are on the volumes.) Removing stores and data takes --data and typing the
# namespace's name.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
down.sh [--overlay prod|kind|plain] [--data] [--operators] [--dry-run]

  --overlay     which of kuberay/overlays was brought up; default prod
  --data        also remove the stores, their volume claims, the secrets and the namespace; asks for
                the namespace's name. Volumes stay on their hosts (reclaimPolicy Retain): kubectl get pv
  --operators   with --data: also uninstall the operators; their CRDs stay
  --dry-run     prints what would be done, and does nothing
TEXT
}

overlay=prod
data=
operators=
while (($#)); do
  case $1 in
    --overlay) overlay=${2:?--overlay needs a name}; shift ;;
    --data) data=1 ;;
    --operators) operators=1 ;;
    --dry-run) DRY_RUN=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "what is $1?" ;;
  esac
  shift
done
[[ -z $operators || -n $data ]] || fail "--operators without --data would leave stores without care"

# confirm WORD QUESTION: exits unless WORD is typed.
confirm() {
  local answer=
  [[ -z $DRY_RUN ]] || return 0
  read -r -p "$2 Type $1 to go on: " answer || true
  [[ $answer == "$1" ]] || fail "nothing was removed"
}

remove() { run kubectl -n "$NAMESPACE" delete "$@" --ignore-not-found --timeout=10m; }

# A RayService is deleted at once, but its RayClusters have a finalizer of the operator, which waits
# for a job that removes Ray's state from gcs-redis. Without gcs-redis that job fails, and in a
# namespace under deletion it cannot be created: the namespace would be stuck.
wait_for_ray_clusters() {
  say "waiting for the RayClusters to go"
  run kubectl -n "$NAMESPACE" wait rayclusters --all --for=delete --timeout=10m ||
    fail "a RayCluster stays, so nothing else was removed. Look: kubectl -n $NAMESPACE describe rayclusters; kubectl -n $NAMESPACE get jobs,pods; does KubeRay's operator run?"
  # Until then a worker that drains may still write.
  run kubectl -n "$NAMESPACE" wait pods -l ray.io/cluster --for=delete --timeout=5m
}

need_tools kubectl awk
need_cluster
context=$(kubectl config current-context)
if [[ -n $data ]]; then
  confirm "$NAMESPACE" "All tags, profiles and aggregates on $context will be gone."
else
  confirm yes "The applications on $context will stop; the stores go on."
fi

step "applications"
remove rayservice/user-tags
wait_for_ray_clusters
remove jobs redis-bootstrap mysql-schema kafka-topics
[[ -n $data ]] || exit 0

step "stores"
if [[ $overlay == plain ]]; then
  remove statefulsets kafka mysql
else
  # Users and topics before Kafka: without it their finalizers are never removed.
  remove kafkausers,kafkatopics --all
  remove kafka/kafka
  remove kafkanodepools controller broker
  remove perconaservermysql/mysql
fi
remove statefulsets redis gcs-redis
step "data"
remove persistentvolumeclaims --all
run kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=10m
if [[ -n $operators ]]; then
  step "operators"
  need_tools helm
  while IFS=$'\t' read -r release namespace _; do
    run helm uninstall "$release" --namespace "$namespace" --ignore-not-found --wait </dev/null
  done < <(operators_of "$overlay")
fi
