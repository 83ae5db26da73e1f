#!/bin/sh
# Readiness: may the next node go? A rolling update and a drain ask this of one node before they take
# another, so it says more than that the server answers. Ready is a master that knows its cluster in
# order, and a replica that is connected to its master and has all of its data. Not ready is a node
# that nobody has introduced yet (an empty disk): up.sh therefore forms the cluster before it waits.
# Nobody's traffic depends on it: the service publishes nodes that are not ready, too.
# Fields: https://redis.io/docs/latest/commands/info/ and …/cluster-info/
set -eu
export REDISCLI_AUTH="$REDIS_PASSWORD"
printf 'INFO replication\nCLUSTER INFO\n' |
  redis-cli --tls --cacert /etc/redis-tls/ca.crt -h "$POD_NAME.$SERVICE" |
  tr -d '\r' |
  awk -F : '
    { is[$1] = $2 }
    END {
      if (is["role"] == "master" && is["cluster_state"] == "ok") exit 0
      if (is["role"] == "slave" && is["master_link_status"] == "up" &&
          is["master_sync_in_progress"] == "0") exit 0
      printf "role %s, cluster_state %s, master_link_status %s, master_sync_in_progress %s\n",
        is["role"], is["cluster_state"], is["master_link_status"], is["master_sync_in_progress"]
      exit 1
    }'
