#!/bin/sh
# Liveness: whether the server answers. A replica that copies all data from its master answers LOADING
# to everything meanwhile, which must not count as dead: restarted, it would begin again.
set -eu
export REDISCLI_AUTH="$REDIS_PASSWORD"
answer=$(redis-cli --tls --cacert /etc/redis-tls/ca.crt -h 127.0.0.1 PING)
case $answer in
  PONG | LOADING*) ;;
  *)
    echo "$answer"
    exit 1
    ;;
esac
