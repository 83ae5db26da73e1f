#!/bin/sh
# Redis stores its peers by IP address. When several pods are replaced at once, no node knows the new
# addresses. So each node looks up its peers' names and meets those again that are elsewhere: CLUSTER
# MEET of a known node at a new address only updates the address.
#
# Whatever the state of the link: while Redis waits for a connection to an address that nobody has, it
# says "connected". And at once: nodes that take each other for failed (cluster-node-timeout) still do so
# for some 8 s once they have met.
set -u
export REDISCLI_AUTH="$REDIS_PASSWORD"
# For tests: endless by default.
ROUNDS="${ROUNDS:--1}"
# Rounds in which peers may be starting, too.
often=60

cli() {
  redis-cli --tls --cacert /etc/redis-tls/ca.crt -h 127.0.0.1 "$@"
}

# Lines "address port name" of peers that have a name. One without an address ("-") is one at whose
# address another node answered: two pods of a host that was away may have changed addresses.
# Format: https://redis.io/docs/latest/commands/cluster-nodes/
peers() {
  cli cluster nodes | awk '$3 !~ /myself/ {
    split($2, part, ","); split(part[1], where, "@"); n = split(where[1], at, ":")
    address = substr(where[1], 1, length(where[1]) - length(at[n]) - 1)
    if (address == "") address = "-"
    port = (at[n] == "0") ? 6379 : at[n]
    if (part[2] != "") print address, port, part[2]
  }'
}

while [ "$ROUNDS" -ne 0 ]; do
  ROUNDS=$((ROUNDS - 1))
  if [ "$often" -gt 0 ]; then
    often=$((often - 1))
    sleep 1
  else
    sleep 5
  fi
  peers | while read -r old port name; do
    new=$(getent hosts "$name" | awk '{ print $1; exit }')
    if [ -n "$new" ] && [ "$new" != "$old" ]; then
      echo "$name moved from $old to $new"
      cli cluster meet "$new" "$port"
    fi
  done
done
