#!/usr/bin/env bash
# Runs what compose.yaml runs, without an engine: the services' programs, with their
# configuration, their names and their secrets where they are in containers, in name spaces of
# this script's own. compose_run_test.go starts it, as root, and says what the variables are.
#
#   DIR        a copy of deploy/compose in which secrets.sh has run
#   BIN        Busbar's programs, statically linked
#   JARS       Apache Kafka's
#   POSTGRES   the directory of PostgreSQL's programs
set -euo pipefail
. "$DIR/.env"
work=$(mktemp -d -p "$DIR")
chmod 711 "$work"
# What still runs then ends with its name space, of which this is the first process.
trap 'status=$?; [ $status = 0 ] || tail -n 25 "$work"/*.log >&2; exit $status' EXIT

# Each service has an address, and its files a place, as in a container.
ip link set lo up
cat >"$work/hosts" <<EOF
127.0.0.1 localhost $(hostname)
127.1.0.1 kafka-1
127.1.0.2 kafka-2
127.1.0.3 kafka-3
127.1.0.4 postgres
127.1.0.11 cloud-1
127.1.0.12 cloud-2
EOF
mount --bind "$work/hosts" /etc/hosts
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/secrets
cp "$DIR"/secrets/* /run/secrets/
chmod 600 /run/secrets/{ca,postgres}.key

# until DESCRIPTION COMMAND... waits for it.
until_() {
  what=$1
  shift
  for ((i = 0; i < 240; i++)); do
    if "$@" >"$work/last" 2>&1; then return; fi
    sleep 0.5
  done
  echo "never: $what" >&2
  cat "$work/last" >&2
  exit 1
}

# The image's own wrapper puts the properties together and formats the directory.
broker() {
  local n=$1 at=$work/kafka-$1
  mkdir -p "$at"/{mounted,default,final,data}
  sed "s#\([A-Z]\)://:#\1://127.1.0.$n:#g" "$DIR/kafka/server.properties" >"$at/mounted/server.properties"
  cp "$LOGGING" "$at/default/log4j2.yaml"
  touch "$at/default/tools-log4j2.yaml" "$at/default/server.properties"
  unshare --mount bash -euo pipefail -c '
    mkdir -p /run/kafka && mount --bind "/run/secrets/kafka-$1.pem" /run/secrets/broker.pem
    mkdir -p /run/data && mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/kafka/data && mount --bind "$2/data" /var/lib/kafka/data
    export CLUSTER_ID=$3 KAFKA_NODE_ID=$1 KAFKA_ADVERTISED_LISTENERS="INTERNAL://kafka-$1:9092,SCRAM://kafka-$1:9094"
    java -Xmx128m -XX:TieredStopAtLevel=1 -cp "$JARS/*" kafka.docker.KafkaDockerWrapper setup \
      --default-configs-dir "$2/default" --mounted-configs-dir "$2/mounted" --final-configs-dir "$2/final"
    exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$JARS/*" kafka.Kafka "$2/final/server.properties"
  ' bash "$n" "$at" "$KAFKA_CLUSTER_ID" >"$work/kafka-$n.log" 2>&1 &
}
touch /run/secrets/broker.pem
for n in 1 2 3; do broker "$n"; done

postgres=$work/postgres
install -d -o postgres -m 700 "$postgres"
install -o postgres -m 600 /run/secrets/postgres.key "$postgres/server.key"
cd "$postgres"
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
as_postgres "$POSTGRES/initdb" --pgdata "$postgres/data" --username postgres --data-checksums --encoding=UTF8 --no-sync >"$work/initdb.log" 2>&1
printf 'local all all trust\nhost all all all scram-sha-256\n' >"$postgres/data/pg_hba.conf"
as_postgres "$POSTGRES/postgres" -D "$postgres/data" -k "$postgres" -c listen_addresses=127.1.0.4 -c fsync=off \
  -c ssl=on -c ssl_cert_file=/run/secrets/postgres.crt -c ssl_key_file="$postgres/server.key" >"$work/postgres.log" 2>&1 &
until_ "PostgreSQL answers" psql --host "$postgres" --username postgres --command "SELECT 1"
psql --quiet --host "$postgres" --username postgres --set ON_ERROR_STOP=1 --file "$DIR/postgres/busbar.sql"

# The service kafka-users.
mkdir "$work/bin"
command_() { printf '#!/bin/sh\nexec java -Xmx128m -XX:TieredStopAtLevel=1 -cp "%s/*" org.apache.kafka.tools.%s "$@"\n' "$JARS" "$2" >"$work/bin/$1"; }
command_ kafka-configs.sh ConfigCommand
command_ kafka-acls.sh AclCommand
command_ kafka-topics.sh TopicCommand
chmod +x "$work"/bin/*
export PATH=$work/bin:$PATH
cp "$DIR/kafka/admin.properties" "$work/admin.properties"
sed "s#^config=/admin.properties#config=$work/admin.properties#" "$DIR/kafka/users.sh" >"$work/users.sh"
until_ "the brokers let in who administers them" bash "$work/users.sh"

# Both processes of the cloud, each in a root that has no more than the image: not even
# a user of theirs.
cloud() {
  local n=$1 root=$work/cloud-$1
  mkdir -p "$root"/{etc/ssl/certs,etc/busbar,run/secrets,proc,dev}
  cp "$BIN/busbar-cloud" "$root/"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  cp "$work/hosts" "$root/etc/hosts"
  cp /run/secrets/{ca.crt,cloud.crt,cloud.key,kafka.password,database.password} "$root/run/secrets/"
  sed "s/0\.0\.0\.0/127.1.0.1$n/" "$DIR/cloud.yaml" >"$root/etc/busbar/cloud.yaml"
  # As Kubernetes has it: root's, for the group to read.
  install -m 440 -g 65532 /run/secrets/command.key "$root/etc/busbar/command.key"
  mount --bind "$root" "$root"
  mount -o remount,bind,ro "$root"
  (in_cloud "$n" run --drain 1s) >"$work/cloud-$n.log" 2>&1 &
  eval "cloud_$n=$!"
}
in_cloud() {
  local n=$1
  shift
  exec env -i /usr/sbin/chroot --userspec=65532:65532 "$work/cloud-$n" /busbar-cloud "$@"
}
cloud 1
cloud 2
asked() (in_cloud "$@")
until_ "the first process is ready" asked 1 health
until_ "the second process is ready" asked 2 health

echo "a password for ana" | asked 1 user add ana --role admin
asked 1 token add prometheus --role viewer >/run/secrets/prometheus.token
metrics() { curl --silent --show-error --fail --cacert /run/secrets/ca.crt --header "Authorization: Bearer $(cat /run/secrets/prometheus.token)" "https://cloud-$1:8443/metrics"; }
divided() { metrics 1 | grep -qx 'busbar_cloud_work_processes{work="ingest"} 2' && metrics 2 | grep -qx 'busbar_cloud_work_parts{work="ingest"} 6'; }
until_ "two processes divide the partitions" divided

kafka-topics.sh --bootstrap-server kafka-2:9092 --command-config "$work/admin.properties" --describe >"$work/topics"
grep -c 'Leader: [1-3].*Isr: [1-3],[1-3],[1-3]' "$work/topics" | sed 's/^/partitions in sync: /'
grep 'PartitionCount' "$work/topics" | sort

# A gateway by the uplink.
mkdir "$work/gateway"
cd "$work/gateway"
asked 2 gateway token north-gw1 >token
cat >gateway.yaml <<EOF
gateway: {id: north-gw1}
forward: {uplink: {url: "https://cloud-2:9443", ca: /run/secrets/ca.crt}}
buffer: {path: buffer}
devices:
  - id: meter
    modbus: {endpoint: "tcp://127.0.0.1:5020", unit: 1}
    profile: eastron/sdm630
EOF
"$BIN/busbar-sim" modbus eastron/sdm630 --listen 127.0.0.1:5020 >"$work/sim.log" 2>&1 &
"$BIN/busbar" gateway enrol --config gateway.yaml --token-file token
"$BIN/busbar-gateway" run --config gateway.yaml >"$work/gateway.log" 2>&1 &
stored() { [ "$(psql -tA --host "$postgres" --username postgres --dbname busbar --command 'SELECT count(*) FROM chunk')" -gt 0 ]; }
until_ "a sample is stored" stored

# One stops in good order, and the other one goes on.
kill -TERM "$cloud_1"
wait "$cloud_1"
asked 2 health
echo done
