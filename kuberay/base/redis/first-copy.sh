#!/bin/sh
# Lets this node take over from its master once it has had all of its data. Until then start.sh forbids
# it, as cluster-replica-validity-factor 0 does not: were the master silent for a moment while a node with
# an empty disk still copies, that node would be elected, and overwrite the master. What is older than
# the log is nowhere else.
set -u
export REDISCLI_AUTH="$REDIS_PASSWORD"
# start.sh, which becomes the server.
server=$PPID

let_take_over() {
  /bin/sh /etc/redis/ready.sh > /dev/null 2>&1 &&
    redis-cli --tls --cacert /etc/redis-tls/ca.crt -h 127.0.0.1 \
      CONFIG SET cluster-replica-no-failover no | grep -q OK
}

until let_take_over; do
  sleep 1
  kill -0 "$server" 2> /dev/null || exit 1
done
rm /data/no-copy-yet
