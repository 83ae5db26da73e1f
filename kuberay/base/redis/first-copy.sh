#!/bin/sh
# Lets this node take over from its master once it has had all of its data. Until then start.sh forbids
# it, as cluster-replica-validity-factor 0 does not: were the master silent for a moment while a node with
# an empty disk still copies, that node would be elected, and overwrite the master. What is older than
# the log is nowhere else.
set -u
export REDISCLI_AUTH="$REDIS_PASSWORD"
until /bin/sh /etc/redis/ready.sh > /dev/null 2>&1; do
  sleep 1
done
touch /data/had-a-copy
until redis-cli --tls --cacert /etc/redis-tls/ca.crt -h 127.0.0.1 \
  CONFIG SET cluster-replica-no-failover no | grep -q OK; do
  sleep 1
done
