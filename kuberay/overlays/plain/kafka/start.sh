#!/bin/bash
# Starts the single Kafka server. The user's password is stored when a new disk is formatted; to change
# it later, use kafka-configs.sh --alter in the pod, by its listener on loopback.
set -eu
umask 077
cat /etc/kafka-tls/tls.key /etc/kafka-tls/tls.crt > /run/kafka/keystore.pem
[ -e /data/log/meta.properties ] || /opt/kafka/bin/kafka-storage.sh format --cluster-id "$CLUSTER_ID" \
  --config /etc/kafka-server/server.properties \
  --add-scram "SCRAM-SHA-512=[name=user-tags,password=$USER_PASSWORD]"
unset USER_PASSWORD
exec /opt/kafka/bin/kafka-server-start.sh /etc/kafka-server/server.properties
