#!/bin/sh
# Starts this node of the cluster, with settings of this pod in own.conf.
set -eu
umask 077
# An empty disk: take-over.sh.
[ -e /data/nodes.conf ] || touch /data/no-copy-yet
{
  echo "cluster-announce-ip $POD_IP"
  echo "cluster-announce-hostname $POD_NAME.$SERVICE"
  # For setup.kubernetes.redis_hosts, which places masters and their replicas on different hosts.
  [ -z "$HOST_NAME" ] || echo "cluster-announce-human-nodename $HOST_NAME"
  echo "maxmemory $REDIS_MAXMEMORY"
  echo "requirepass $REDIS_PASSWORD"
  echo "masterauth $REDIS_PASSWORD"
  [ ! -e /data/no-copy-yet ] || echo "cluster-replica-no-failover yes"
} > /run/redis/own.conf
/bin/sh /etc/redis/follow-addresses.sh &
/bin/sh /etc/redis/take-over.sh &
exec redis-server /etc/redis/redis.conf
