#!/bin/sh
# Starts a pod's Redis or its Sentinel: start.sh redis|sentinel.
#
# Who is the master is what the Sentinel with the newest configuration says, of those that answer and
# of what this pod's own knew last: after a power cut none answers. At a first install it is pod 0.
#
# Both files are written anew at each start, but for what Sentinel wrote into its own: ids, epochs,
# the master and the others.
set -eu
umask 077
what=$1
domain=gcs-redis-nodes.user-tags.svc.cluster.local
self=$POD_NAME.$domain
learnt=/data/sentinel.conf

# What Sentinels say: a line each, the epoch of its configuration and the master's name.
ask() {
  for pod in 0 1 2; do
    told=$(REDISCLI_AUTH=$REDIS_PASSWORD timeout 2 redis-cli -h "gcs-redis-$pod.$domain" -p 26379 \
      SENTINEL MASTER gcs-redis 2> /dev/null || :)
    echo "$(echo "$told" | sed -n '/^config-epoch$/{n;p}') $(echo "$told" | sed -n '/^ip$/{n;p}')"
  done | grep -F ".$domain" || :
}

# The lines of what this pod's Sentinel has learnt that the pattern matches.
state() {
  grep -E "^sentinel ($1) " "$learnt" 2> /dev/null || :
}

# The master by what Sentinels say now, and by what this pod's own knew last.
master() {
  knew="$(state config-epoch | cut -d ' ' -f 4) $(state monitor | cut -d ' ' -f 4)"
  said=$(printf '%s\n%s\n' "$(ask)" "$knew" | sort -n | tail -n 1 | cut -d ' ' -f 2)
  echo "${said:-gcs-redis-0.$domain}"
}

# Whether both other Redis answer that they have nothing, as at a first install.
others_are_empty() {
  for pod in 0 1 2; do
    [ "gcs-redis-$pod.$domain" = "$self" ] ||
      [ "$(REDISCLI_AUTH=$REDIS_PASSWORD timeout 2 redis-cli -h "gcs-redis-$pod.$domain" DBSIZE 2> /dev/null)" = 0 ] ||
      return 1
  done
}

master=$(master)
if [ "$what" = redis ] && [ ! -e /data/appendonlydir ]; then
  # A master that starts empty empties the others. If its volume was lost they must choose another.
  while [ "$master" = "$self" ] && ! others_are_empty; do
    sleep 1
    master=$(master)
  done
fi
echo "$what of $self: the master is $master"

case $what in
redis)
  printf 'requirepass %s\nmasterauth %s\n' "$REDIS_PASSWORD" "$REDIS_PASSWORD" > /run/redis/auth.conf
  {
    cat /etc/redis/redis.conf
    echo "replica-announce-ip $self"
    [ "$master" = "$self" ] || echo "replicaof $master 6379"
  } > /run/redis/redis.conf
  exec redis-server /run/redis/redis.conf
  ;;
sentinel)
  # Names lead nowhere until pods have addresses; that of a pod that cannot start never does.
  tries=0
  until getent hosts "$master" "$self" > /dev/null || [ "$((tries += 1))" -gt 60 ]; do sleep 1; done
  monitor=$(state monitor)
  {
    cat /etc/redis/sentinel.conf
    printf 'requirepass %s\nsentinel sentinel-pass %s\n' "$REDIS_PASSWORD" "$REDIS_PASSWORD"
    echo "sentinel announce-ip $self"
    state 'myid|current-epoch'
    echo "${monitor:-sentinel monitor gcs-redis $master 6379 2}"
    echo "sentinel auth-pass gcs-redis $REDIS_PASSWORD"
    echo 'sentinel down-after-milliseconds gcs-redis 5000'
    # After twice this, two Sentinels that each voted for itself try again.
    echo 'sentinel failover-timeout gcs-redis 8000'
    state 'config-epoch|leader-epoch|known-replica|known-sentinel'
  } > "$learnt.new"
  mv "$learnt.new" "$learnt"
  exec redis-server "$learnt" --sentinel
  ;;
esac
