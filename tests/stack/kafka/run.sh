#!/usr/bin/env bash
# KAFKA_LOG_DIRS=… is log.dirs=… in server.properties: `_` is a dot, `__` an underscore, `___` a dash.
set -euo pipefail
properties=/tmp/server.properties
env | grep -E '^KAFKA_' | grep -vE '^KAFKA_(HEAP_OPTS|OPTS|LOG4J_OPTS|JVM_PERFORMANCE_OPTS)=' | while IFS='=' read -r name value; do
  name=$(tr '[:upper:]' '[:lower:]' <<<"${name#KAFKA_}" | sed -e 's/___/-/g' -e 's/__/\x01/g' -e 's/_/./g' -e 's/\x01/_/g')
  echo "$name=$value"
done >"$properties"
java=(java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "/opt/kafka/libs/*")
[[ -e $KAFKA_LOG_DIRS/meta.properties ]] ||
  "${java[@]}" -Xmx64m kafka.tools.StorageTool format -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c "$properties"
# shellcheck disable=SC2086 (several options)
exec "${java[@]}" ${KAFKA_HEAP_OPTS:-} kafka.Kafka "$properties"
