#!/usr/bin/env bash
# The stack of docker-compose.yaml: `make stack-up` and its like. Needs docker with Compose 2.24 or newer, nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
export ENV_LOCAL=${ENV_LOCAL:-.env.local}

die() { echo "error: $*" >&2; exit 1; }

compose() {
  if profile monitoring; then export STATSD_ON=True; fi
  if profile kafka && [[ -z $(setting KAFKA_BOOTSTRAP_SERVERS) ]]; then export KAFKA_BOOTSTRAP_SERVERS=kafka:9092; fi
  pass_on
  docker compose --env-file .env --env-file "$ENV_LOCAL" "$@"
}

# A setting as compose sees it: the environment wins over the files.
setting() {
  local value=${!1:-}
  [[ -n $value ]] || value=$(sed -n "s/^$1=//p" "$ENV_LOCAL" .env | head -n 1)
  echo "${value:-${2:-}}"
}

profile() { # whether it is turned on
  [[ ",$(setting COMPOSE_PROFILES)," == *,$1,* ]]
}

# Writes $ENV_LOCAL.airflow and $ENV_LOCAL.connections: what $ENV_LOCAL sets beside the settings of docker-compose.yaml,
# for all containers of Airflow, and the connections, for the one that stores them. So neither has a secret of the stack,
# and a changed setting makes only the containers anew that use it.
pass_on() {
  local kind file found
  for kind in airflow connections; do
    file=$ENV_LOCAL.$kind
    found=$(awk -v kind="$kind" -f deploy/pass_on.awk docker-compose.yaml "$ENV_LOCAL")
    [[ -e $file && $found == "$(<"$file")" ]] || { (umask 077; echo "$found" >"$file.new"); mv "$file.new" "$file"; }
  done
}

need_docker() {
  local version
  version=$(docker compose version --short 2>/dev/null) || die "docker with Compose is needed (looked for \`docker compose\`)"
  [[ $(printf '%s\n' 2.24 "${version#v}" | sort -V | head -n 1) == 2.24 ]] || die "Compose is $version; 2.24 or newer is needed"
  docker info >/dev/null 2>&1 || die "no docker engine answers (looked at ${DOCKER_HOST:-the default socket})"
}

need_secrets() {
  [[ -e $ENV_LOCAL ]] || die "there is no $ENV_LOCAL; make stack-up writes it"
}

secret() { # of $1 random bytes, in letters that may stand in a URL
  head -c "$1" /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

write_secrets() {
  local project=${COMPOSE_PROJECT_NAME:-headrace}
  if [[ -n $(docker volume ls -q --filter "label=com.docker.compose.project=$project" \
    --filter label=com.docker.compose.volume=postgres) ]]; then
    die "there is no $ENV_LOCAL, but a database of an earlier stack, which only its passwords open:" \
      "bring that file back, or remove the volume ${project}_postgres and all that is in it"
  fi
  (
    umask 077
    cat >"$ENV_LOCAL.new" <<EOF
# Secrets and settings of this host's stack, made by \`make stack-up\`. Keep a copy: the databases open with these only.
POSTGRES_PASSWORD=$(secret 24)
AIRFLOW_DB_PASSWORD=$(secret 24)
HEADRACE_DB_PASSWORD=$(secret 24)
CELERY_DB_PASSWORD=$(secret 24)
REDIS_PASSWORD=$(secret 24)
FERNET_KEY=$(secret 32)=
JWT_SECRET=$(secret 48)
API_SECRET_KEY=$(secret 48)
ADMIN_PASSWORD=$(secret 15)
VIEWER_PASSWORD=$(secret 15)
HEADRACE_METRICS_TOKEN=$(secret 24)

# Without an API of your own the demo API answers. With one: set API_URL, and empty these two.
COMPOSE_PROFILES=demo
HEADRACE_DEMO_API=http://demo-api:8090
EOF
  )
  mv "$ENV_LOCAL.new" "$ENV_LOCAL"
  echo "wrote secrets to $(realpath "$ENV_LOCAL") (for your eyes only; it is in no repository)"
}

add_metrics_token() { # to a file that an earlier release wrote
  grep -qE '^[ \t]*(export[ \t]+)?HEADRACE_METRICS_TOKEN[ \t]*=' "$ENV_LOCAL" ||
    printf '\nHEADRACE_METRICS_TOKEN=%s\n' "$(secret 24)" >>"$ENV_LOCAL"
}

up() {
  need_docker
  [[ -e $ENV_LOCAL ]] || write_secrets
  add_metrics_token
  compose build --quiet
  # The new settings in the new image, before anything that runs is touched.
  compose run --rm --no-deps -T preflight || die "the settings are refused; nothing was started or changed"
  local began; began=$(date +%s)
  if ! compose up --detach --wait --wait-timeout 600; then
    status
    # Some releases of Compose put an escape sequence before each line.
    compose logs --no-log-prefix --since "$began" preflight init | sed -n 's/^[^a-z]*error: /error: /p' >&2
    die "the stack did not get healthy; make stack-logs shows why"
  fi
  local port; port=$(setting WEB_PORT 8080)
  echo "Headrace is up: $(setting WEB_URL "http://$(setting WEB_HOST 127.0.0.1):$port")"
  if profile monitoring; then echo "  metrics   http://$(setting WEB_HOST 127.0.0.1):$(setting GRAFANA_PORT 3000)"; fi
  echo "  users     admin (ADMIN_PASSWORD) and viewer (VIEWER_PASSWORD), in $ENV_LOCAL"
  echo "  start     make trigger LIMIT=20 WAIT=1"
  echo "  stop      make stack-down (data and history stay)"
}

down() {
  need_docker
  need_secrets
  compose --profile '*' down --remove-orphans "$@"
}

status() {
  need_secrets
  compose --profile '*' ps --all --format 'table {{.Service}}\t{{.Name}}\t{{.Status}}\t{{.Ports}}'
}

logs() {
  need_secrets
  # shellcheck disable=SC2086 (several services may be named)
  compose --profile '*' logs --tail "${TAIL:-100}" ${FOLLOW:+--follow} ${SERVICE:-}
}

trigger() {
  need_secrets
  local name input=/dev/null sent=
  for name in $(inputs); do
    [[ -n ${!name:-} && ${!name} != *://* ]] || continue
    [[ -f ${!name} && -r ${!name} ]] || die "$name is \`${!name}\`: no file that can be read"
    [[ -z $sent ]] || die "$sent and $name are both files of this host; one of them can be sent along"
    input=${!name} sent=$name
  done
  server_runs || die "the stack is not up (its api-server does not run); make stack-up starts it"
  local given=() status=0
  for name in DAG WAIT $(parameters); do
    given+=(-e "TRIGGER_$name=${!name:-}")
  done
  # Named here, so that the run is found again should the container that follows it go.
  given+=(-e "TRIGGER_RUN_ID=manual__$(date -u +%Y-%m-%dT%H:%M:%S.%6N+00:00)")
  in_server "${given[@]}" <"$input" || status=$?
  [[ ${WAIT:-} == 1 ]] || exit "$status"
  while ((status != 0 && status != FAILED)); do
    echo "the api-server is away; the run goes on; waiting up to 7 min"
    wait_for_server || die "the api-server was away for 7 min; the run goes on without being followed"
    status=0
    in_server "${given[@]}" -e TRIGGER_STARTED=1 </dev/null || status=$?
  done
  exit "$status"
}

parameters() { # the variables that a run may be given
  awk -F'"' '/^ *variable="/ {print $2}' include/*/parameters.py | sort -u
}

inputs() { # those of files that the run reads
  awk -F'"' '/^ *variable="/ {name = $2} /^ *kind=INPUT,$/ {print name}' include/*/parameters.py | sort -u
}

FAILED=3 # the status of include/launch/stack/trigger.py; docker's own are others

in_server() { # the trigger, with these options of exec
  compose exec -T -w /opt/headrace "$@" api-server python -m include.launch.stack.trigger
}

server_runs() {
  [[ -n $(compose ps --status running --quiet api-server 2>/dev/null) ]]
}

wait_for_server() {
  local end=$((SECONDS + 420))
  until server_runs; do
    ((SECONDS < end)) || return 1
    sleep 2
  done
}

case ${1:-} in
  up | down | status | logs | trigger) "$@" ;;
  compose) need_secrets; shift; compose "$@" ;;
  *) die "allowed is up, down, status, logs, trigger or compose" ;;
esac
