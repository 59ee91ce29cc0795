#!/usr/bin/env bash
# Makes what compose.yaml needs and nobody else may have: an authority, certificates, keys and
# passwords, in secrets/, and .env. What is there already is kept.
#
#   ./secrets.sh                      for this machine alone
#   ./secrets.sh busbar.example …     also the names or addresses by which others reach it
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
chmod 700 secrets
cd secrets
days=825

# The files are read by several users in containers, so the directory keeps others out.
share() { chmod 444 "$@"; }

if [ ! -e ca.key ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/O=busbar/CN=Busbar CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt
  share ca.crt
fi

# certificate FILE SUBJECT USAGE NAMES makes FILE.crt and FILE.key.
certificate() {
  [ -e "$1.crt" ] && return
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr"
  {
    printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$3"
    [ -z "$4" ] || printf 'subjectAltName=%s\n' "$4"
  } >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -extfile "$1.ext" -out "$1.crt"
  rm "$1.csr" "$1.ext"
  share "$1.crt" "$1.key"
}

# pem puts a key and its certificate into one file, as Kafka reads them.
pem() {
  [ -e "$1.pem" ] || cat "$1.key" "$1.crt" >"$1.pem"
  share "$1.pem"
}

for n in 1 2 3; do
  certificate "kafka-$n" "/O=busbar/OU=broker/CN=kafka-$n" serverAuth,clientAuth "DNS:kafka-$n"
  pem "kafka-$n"
done
certificate admin "/O=busbar/OU=admin/CN=admin" clientAuth ""
pem admin
certificate postgres "/O=busbar/CN=postgres" serverAuth DNS:postgres

names=DNS:cloud-1,DNS:cloud-2,DNS:localhost,IP:127.0.0.1,IP:::1
for name in "$@"; do
  case $name in
    *:*) names+=,IP:$name ;;
    *[!0-9.]*) names+=,DNS:$name ;;
    *) names+=,IP:$name ;;
  esac
done
certificate cloud "/O=busbar/CN=busbar-cloud" serverAuth "$names"

for user in kafka database postgres grafana; do
  if [ ! -e "$user.password" ]; then
    openssl rand -hex 24 >"$user.password"
    share "$user.password"
  fi
done

# Prometheus shows it. README.md says how it is made, once the cloud runs.
if [ ! -e prometheus.token ]; then
  touch prometheus.token
  chmod 644 prometheus.token
fi

# The cloud's processes run as whoever owns this key, and never as root.
if [ ! -e command.key ]; then
  openssl genpkey -algorithm ed25519 -out command.key
fi
user=$(id -u):$(id -g)
if [ "$(id -u)" = 0 ]; then
  user=65532:65532
fi
if [ -e ../.env ]; then
  user=$(sed -n 's/^BUSBAR_USER=//p' ../.env)
fi
chown "$user" command.key
chmod 600 command.key

cd ..
if [ ! -e .env ]; then
  printf 'KAFKA_CLUSTER_ID=%s\nBUSBAR_USER=%s\n' "$(openssl rand -base64 16 | tr '+/' 'AB' | tr -d =)" "$user" >.env
fi
