#!/bin/sh
# shellcheck disable=SC2086  # both are lists of options
exec java $KAFKA_HEAP_OPTS $KAFKA_LOG4J_OPTS -cp "/opt/kafka/libs/*" kafka.Kafka "$@"
