#!/bin/bash
# What the real image does without a command: server.properties from KAFKA_ variables, a formatted disk.
set -euo pipefail
properties=/tmp/server.properties
env | awk -F= '/^KAFKA_/ && !/^KAFKA_(HEAP|LOG4J)_OPTS=/ {
  name = tolower(substr($1, 7)); gsub("_", ".", name)
  print name "=" substr($0, length($1) + 2)
}' > $properties
export KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/opt/kafka/config/tools-log4j2.yaml
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted \
  -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c $properties
exec /opt/kafka/bin/kafka-server-start.sh $properties
