#!/usr/bin/env bash
# Brings the platform up on the cluster that kubectl points at. Existing resources stay as they are: a
# second run changes nothing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=secrets.sh
source "$HERE/secrets.sh"

usage() {
  cat <<'TEXT'
up.sh [--overlay prod|kind|plain] [--image REGISTRY/NAME:TAG] [--skip-stores] [--dry-run]

  --overlay   which of kuberay/overlays; default prod
  --image     the image built from kuberay/Dockerfile; needed for prod. Otherwise the default is
              user-tags:0.1.0, brought in by `kind load docker-image` or `minikube image load`
  --skip-stores
              neither changes the stores nor waits for their pods (the schema is brought up to date):
              to deploy or go back while a host is away
  --dry-run   prints what would be done, and does nothing
TEXT
}

overlay=prod
image=
skip_stores=
while (($#)); do
  case $1 in
    --overlay) overlay=${2:?--overlay needs a name}; shift ;;
    --image) image=${2:?--image needs a name}; shift ;;
    --skip-stores) skip_stores=1 ;;
    --dry-run) DRY_RUN=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "what is $1?" ;;
  esac
  shift
done
[[ -d $CHECKOUT/kuberay/overlays/$overlay ]] || fail "there is no overlay $overlay"
if [[ -z $image ]]; then
  [[ $overlay != prod ]] || fail "--image is needed: where the cluster finds the image"
elif [[ ${image##*/} != *:* || $image == *:latest ]]; then
  fail "--image needs a tag that says a version: $image"
fi

# Names of nodes that take pods: Ready, not cordoned, and without a taint that keeps pods off.
schedulable_nodes() {
  kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name}{"\t"}{.status.conditions[?(@.type=="Ready")].status}{"\t"}{.spec.unschedulable}{"\t"}{.spec.taints[*].effect}{"\n"}{end}' |
    awk -F '\t' '$2 == "True" && $3 != "true" && $4 !~ /(^| )No(Schedule|Execute)( |$)/ { print $1 }'
}

# The stores' volumes are local: with fewer hosts, Redis would be placed on two for good, and Kafka and
# MySQL would wait. Asked before the first placement only, so that --skip-stores works while a host is away.
need_hosts() {
  local nodes
  ! kubectl -n "$NAMESPACE" get statefulset/redis >/dev/null 2>&1 || return 0
  mapfile -t nodes < <(schedulable_nodes)
  ((${#nodes[@]} >= $1)) ||
    fail "overlay $overlay needs $1 nodes that are Ready, not cordoned and without a NoSchedule taint; there are ${#nodes[@]}: ${nodes[*]:-none}"
}

# Helm charts already installed at this version and with these values are left alone. Which values,
# a label of the release tells (the first half of their hash: a label has at most 63 characters).
install_operators() {
  local release namespace chart version values _
  while IFS=$'\t' read -r release namespace chart version _; do
    values=user-tags-values=$(openssl dgst -sha256 -r "$HERE/values/$release.yaml" | cut -c 1-32)
    if helm -n "$namespace" list --filter "^$release\$" --selector "$values" --deployed -o json \
      2>/dev/null | grep -q -- "-$version\""; then
      say "$release $version is there"
      continue
    fi
    local from=("$chart")
    [[ $chart == oci://* ]] || from=("${chart##*/}" --repo "${chart%/*}")
    run helm upgrade --install "$release" "${from[@]}" --version "$version" \
      --namespace "$namespace" --create-namespace \
      --values "$HERE/values/$release.yaml" --labels "$values" --wait --timeout 10m </dev/null
  done < <(operators_of "$overlay")
}

# has KIND: whether the overlay has any such resource.
has() { grep -q "^kind: $1\$" "$folder/all.yaml"; }

# The overlay with the image of this call, as one file.
render() {
  local folder=$1
  {
    printf 'resources: [%s]\n' "$(realpath --relative-to="$folder" "$CHECKOUT/kuberay/overlays/$overlay")"
    if [[ -n $image ]]; then
      printf 'images: [{name: user-tags, newName: "%s", newTag: "%s"}]\n' "${image%:*}" "${image##*:}"
    fi
  } > "$folder/kustomization.yaml"
  kubectl kustomize "$folder" > "$folder/all.yaml"
}

# apply LABELS: the RayService's CRD is too big for client-side apply.
apply() {
  run kubectl apply --server-side --field-manager=user-tags -f "$folder/all.yaml" -l "$1"
}

# apply_jobs LABELS JOB…: a job's template cannot be changed, so one that differs is replaced, as is one
# that failed. Each may be interrupted and rerun.
apply_jobs() {
  local job labels=$1 differs=
  shift
  kubectl apply --server-side --field-manager=user-tags --dry-run=server \
    -f "$folder/all.yaml" -l "$labels" >/dev/null 2>&1 || differs=1
  for job in "$@"; do
    if [[ -n $differs || $(failure_of "$job") == True ]]; then
      run kubectl -n "$NAMESPACE" delete job "$job" --ignore-not-found
    fi
  done
  apply "$labels"
  for job in "$@"; do
    wait_for_job "$job"
  done
}

# failure_of JOB: True once it has failed for good.
failure_of() {
  kubectl -n "$NAMESPACE" get "job/$1" --ignore-not-found \
    -o 'jsonpath={.status.conditions[?(@.type=="Failed")].status}'
}

# Until it is complete, has failed, or 30 minutes are over.
wait_for_job() {
  local tries=60
  say "waiting for job/$1"
  until run kubectl -n "$NAMESPACE" wait "job/$1" --for=condition=Complete --timeout=30s; do
    if [[ $(failure_of "$1") == True ]] || ! ((tries--)); then
      fail "job $1 has failed, or takes too long. Look: kubectl -n $NAMESPACE logs job/$1 --all-containers; the next up.sh tries again"
    fi
  done
}

# Certificates and passwords of stores and applications. Strimzi and Percona create their own.
ensure_secrets() {
  ensure_password redis-auth
  ensure_password gcs-redis-auth
  ensure_password mysql-tags
  ensure_password api-token
  ensure_certificate redis-tls redis-ca "redis.$NAMESPACE.svc.cluster.local" \
    "*.redis.$NAMESPACE.svc.cluster.local"
  has Kafka && return
  local hosts
  ensure_password user-tags
  ensure_password mysql-secrets root
  mapfile -t hosts < <(names_of kafka-kafka-bootstrap)
  ensure_certificate kafka-cluster-ca-cert kafka-ca "${hosts[@]}"
  mapfile -t hosts < <(names_of mysql-haproxy)
  ensure_certificate mysql-ssl mysql-ca "${hosts[@]}"
}

wait_for() {
  say "waiting for $1"
  run kubectl -n "$NAMESPACE" wait "$@" ||
    fail "$1 is not there in time. Look: kubectl -n $NAMESPACE describe $1; kubectl -n $NAMESPACE get pods,events"
}

# field RESOURCE PATH: of what is there. On a dry run it may not be.
field() { kubectl -n "$NAMESPACE" get "$1" -o "jsonpath={$2}" || [[ -n $DRY_RUN ]]; }

# wait_for_operator RESOURCE TIMEOUT: until its operator has seen what is applied now. A condition may
# be of before the change.
wait_for_operator() {
  local generation
  generation=$(field "$1" .metadata.generation)
  wait_for "$1" "--for=jsonpath={.status.observedGeneration}=$generation" --timeout="$2"
}

wait_for_stores() {
  run kubectl -n "$NAMESPACE" rollout status statefulset/gcs-redis --timeout=10m
  if ! has Kafka; then
    run kubectl -n "$NAMESPACE" rollout status statefulset/kafka --timeout=10m
    run kubectl -n "$NAMESPACE" rollout status statefulset/mysql --timeout=10m
    return
  fi
  local resource pool size
  for resource in kafka/kafka kafkatopic/user-tags kafkatopic/dead-letters kafkauser/user-tags; do
    wait_for_operator "$resource" 20m
    wait_for "$resource" --for=condition=Ready --timeout=20m
  done
  # A changed pool is observed before its first node is replaced, and Kafka stays Ready meanwhile.
  for pool in controller broker; do
    wait_for_operator "kafkanodepool/$pool" 20m
    size=$(field "kafkanodepool/$pool" .spec.replicas)
    wait_for "strimzipodset/kafka-$pool" "--for=jsonpath={.status.currentPods}=$size" --timeout=20m
    wait_for "strimzipodset/kafka-$pool" "--for=jsonpath={.status.readyPods}=$size" --timeout=20m
  done
  wait_for perconaservermysql/mysql --for=jsonpath='{.status.state}'=ready --timeout=30m
  # That may be the state from before a change: the status does not tell which generation it is of. Pods
  # of the change are counted as updated. Not by `rollout status`, which refuses the strategy OnDelete,
  # by which Percona's operator replaces pods itself.
  size=$(field statefulset/mysql-mysql .spec.replicas)
  wait_for statefulset/mysql-mysql "--for=jsonpath={.status.updatedReplicas}=$size" --timeout=30m
  wait_for statefulset/mysql-mysql "--for=jsonpath={.status.readyReplicas}=$size" --timeout=30m
}

# An upgrade starts a second RayCluster while the first one serves, so the RayService is Ready
# throughout. Whether there is an upgrade is known once the operator has observed this generation.
wait_for_application() {
  wait_for_operator rayservice/user-tags 5m
  wait_for rayservice/user-tags --for=condition=Ready --timeout=20m
  wait_for rayservice/user-tags --for=condition=UpgradeInProgress=False --timeout=20m
}

# KubeRay leaves the number of workers of the RayCluster that serves to the autoscaler, and does not
# change it when the RayService's is (ray-project/kuberay#2333). Without an autoscaler it is ours.
scale_workers() {
  local cluster wanted replicas least most patch
  cluster=$(field rayservice/user-tags .status.activeServiceStatus.rayClusterName)
  [[ -n $cluster ]] || return 0
  wanted=$(workers rayservice/user-tags .spec.rayClusterConfig)
  [[ $(workers "raycluster/$cluster" .spec) != "$wanted" ]] || return 0
  read -r replicas least most <<<"$wanted"
  patch=$(printf ',{"op": "add", "path": "/spec/workerGroupSpecs/0/%s", "value": %d}' \
    replicas "$replicas" minReplicas "$least" maxReplicas "$most")
  run kubectl -n "$NAMESPACE" patch "raycluster/$cluster" --type=json -p "[${patch#,}]"
  wait_for "raycluster/$cluster" "--for=jsonpath={.status.readyWorkerReplicas}=$replicas" --timeout=20m
}

# workers RESOURCE PATH: replicas, minReplicas and maxReplicas of the worker group under PATH.
workers() {
  local group="$2.workerGroupSpecs[0]"
  kubectl -n "$NAMESPACE" get "$1" -o "jsonpath={$group.replicas} {$group.minReplicas} {$group.maxReplicas}"
}

need_tools kubectl helm openssl awk
need_cluster
need_right create customresourcedefinitions
need_right create namespaces
need_right create clusterroles
[[ $overlay != prod ]] || need_hosts 3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
render "$folder"

step "namespace"
apply user-tags.io/stage=first
step "operators"
install_operators
step "policies, storage class, account, settings"
# Everything without a stage, including monitors, whose kinds the operators have installed.
apply 'user-tags.io/stage notin (first,stores,jobs,app)'
step "secrets"
ensure_secrets
if [[ -n $skip_stores ]]; then
  step "schema"
  apply_jobs user-tags.io/stage=jobs,app.kubernetes.io/name=mysql-schema mysql-schema
else
  step "stores"
  apply user-tags.io/stage=stores
  wait_for_stores
  step "Redis Cluster and schema"
  jobs=(redis-bootstrap mysql-schema)
  has KafkaTopic || jobs+=(kafka-topics)
  apply_jobs user-tags.io/stage=jobs "${jobs[@]}"
  # Only now: Redis nodes become ready in the cluster, which the job forms.
  run kubectl -n "$NAMESPACE" rollout status statefulset/redis --timeout=20m
fi
step "applications"
apply user-tags.io/stage=app
wait_for_application
scale_workers

step "up"
say "The API, from this machine:  kubectl -n $NAMESPACE port-forward svc/user-tags-serve-svc 8000"
say "Ray's dashboard:             kubectl -n $NAMESPACE port-forward svc/user-tags-head-svc 8265"
