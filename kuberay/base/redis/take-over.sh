#!/bin/sh
# Decides whether this node may take over from its master: not while it has no whole copy of its data.
# cluster-replica-validity-factor 0 would let it: were the master silent for a moment while a node with an
# empty disk still copies, or one that was another master's replica, that node would be elected and
# overwrite the master. What is older than the log is nowhere else.
#
# Whoever gives it something to copy forbids it (cluster-replica-no-failover yes): start.sh for an empty
# disk, setup.kubernetes.redis_hosts. The mark is for start.sh, after a restart in the midst of it.
set -u
export REDISCLI_AUTH="$REDIS_PASSWORD"
# start.sh, which becomes the server.
server=$PPID

cli() {
  redis-cli --tls --cacert /etc/redis-tls/ca.crt -h 127.0.0.1 "$@"
}

while sleep 1 && kill -0 "$server" 2> /dev/null; do
  [ "$(cli CONFIG GET cluster-replica-no-failover 2> /dev/null | tail -n 1)" = yes ] || continue
  touch /data/no-copy-yet
  if /bin/sh /etc/redis/ready.sh > /dev/null 2>&1; then
    rm -f /data/no-copy-yet
    cli CONFIG SET cluster-replica-no-failover no
  fi
done
