#!/bin/sh
# Redis stores its peers by IP address. When several pods are replaced at once, no node knows the new
# addresses. So each node looks up the names of unreachable peers and meets them again: CLUSTER MEET
# of a known node at a new address only updates the address.
set -u
export REDISCLI_AUTH="$REDIS_PASSWORD"
PAUSE_S="${PAUSE_S:-5}"
ROUNDS="${ROUNDS:--1}"  # for tests; endless by default

cli() {
  redis-cli --tls --cacert /etc/redis-tls/ca.crt -h 127.0.0.1 "$@"
}

# Lines "address port name" of peers whose link is down. A peer without an address ("-") is one at whose
# address another node answered: two pods of a host that was away may have changed addresses.
# Format: https://redis.io/docs/latest/commands/cluster-nodes/
lost_peers() {
  cli cluster nodes | awk '$8 == "disconnected" && $3 !~ /myself/ {
    split($2, part, ","); split(part[1], where, "@"); n = split(where[1], at, ":")
    address = substr(where[1], 1, length(where[1]) - length(at[n]) - 1)
    if (address == "") address = "-"
    port = (at[n] == "0") ? 6379 : at[n]
    if (part[2] != "") print address, port, part[2]
  }'
}

while [ "$ROUNDS" -ne 0 ]; do
  ROUNDS=$((ROUNDS - 1))
  sleep "$PAUSE_S"
  lost_peers | while read -r old port name; do
    new=$(getent hosts "$name" | awk '{ print $1; exit }')
    if [ -n "$new" ] && [ "$new" != "$old" ]; then
      echo "$name moved from $old to $new"
      cli cluster meet "$new" "$port"
    fi
  done
done
