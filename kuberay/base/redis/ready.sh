#!/bin/sh
# Readiness: a rolling update or a drain takes the next node only when this one is ready, so it checks
# more than that the server answers. Ready is a master with slots whose cluster_state is ok, and a replica
# that is connected to its master and in sync. A node that has nothing to do in a cluster yet (an empty
# disk) is not ready: up.sh therefore forms the cluster before it waits. Traffic does not depend on
# readiness: the service also publishes nodes that are not ready.
# Fields: https://redis.io/docs/latest/commands/info/, …/cluster-info/ and …/cluster-nodes/
set -eu
export REDISCLI_AUTH="$REDIS_PASSWORD"
printf 'INFO replication\nCLUSTER INFO\nCLUSTER NODES\n' |
  redis-cli --tls --cacert /etc/redis-tls/ca.crt -h 127.0.0.1 |
  tr -d '\r' |
  awk -F : '
    { is[$1] = $2 }
    / myself,master[ ,]/ { slots = (split($0, part, " ") > 8) }
    END {
      if (is["role"] == "master" && slots && is["cluster_state"] == "ok") exit 0
      if (is["role"] == "slave" && is["master_link_status"] == "up" &&
          is["master_sync_in_progress"] == "0") exit 0
      printf "role %s, slots %d, cluster_state %s, master_link_status %s, master_sync_in_progress %s\n",
        is["role"], slots, is["cluster_state"], is["master_link_status"], is["master_sync_in_progress"]
      exit 1
    }'
