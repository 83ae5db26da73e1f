#!/bin/sh
# Runs before the node is stopped: a master fails over to a replica in sync, so that its shard has no
# master for a moment only, instead of for the seconds until the fail-over. Never blocks the stop:
# without such a replica, or if none takes over in time, the node just stops.
set -u
export REDISCLI_AUTH="$REDIS_PASSWORD"
WAIT_S="${WAIT_S:-10}"

cli() {
  redis-cli --tls --cacert /etc/redis-tls/ca.crt "$@" | tr -d '\r'
}

own() {
  cli -h 127.0.0.1 INFO replication
}

own | grep -qx role:master || exit 0
# slave0:ip=10.244.1.7,port=6379,state=online,offset=1408,lag=0
# Fields: https://redis.io/docs/latest/commands/info/
replica=$(own | sed -n 's/^slave[0-9]*:ip=\([^,]*\),port=\([0-9]*\),state=online,.*/\1 \2/p' | head -1)
[ -n "$replica" ] || exit 0
echo "handing over to ${replica% *}"
cli -h "${replica% *}" -p "${replica#* }" CLUSTER FAILOVER
while [ "$WAIT_S" -gt 0 ] && own | grep -qx role:master; do
  WAIT_S=$((WAIT_S - 1))
  sleep 1
done
exit 0
