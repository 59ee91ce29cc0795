#!/usr/bin/env bash
# Lets the cloud in, with the rights of docs/kafka.md. It may run again: nothing changes then.
set -euo pipefail
admin=(--bootstrap-server kafka-1:9092,kafka-2:9092,kafka-3:9092)
config=/admin.properties

# Not as an argument, which others on the machine could read.
password=$(mktemp)
trap 'rm -f "$password"' EXIT
printf 'SCRAM-SHA-512=iterations=8192,password=%s\n' "$(cat /run/secrets/kafka.password)" >"$password"
kafka-configs.sh "${admin[@]}" --command-config "$config" --alter --entity-type users --entity-name busbar-cloud --add-config-file "$password"

acls=(kafka-acls.sh "${admin[@]}" --command-config "$config" --add --allow-principal User:busbar-cloud)
"${acls[@]}" --operation Create --operation Describe --operation DescribeConfigs --operation Read \
  --topic busbar. --resource-pattern-type prefixed
"${acls[@]}" --operation Write --topic busbar.commands \
  --topic busbar.telemetry --topic busbar.backfill --topic busbar.events --topic busbar.births
