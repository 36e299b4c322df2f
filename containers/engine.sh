#!/usr/bin/env bash
# Makes a container engine with compose available, and takes away again what it has started.
#
#   eval "$(containers/engine.sh up FOLDER)"     prints DOCKER_HOST, DOCKER_CONFIG and COMPOSE as exports
#   containers/engine.sh down FOLDER             ends the engine that `up` has started in FOLDER; any other is left alone
#
# An engine that answers already is used as it is. Otherwise, as root on Debian or Ubuntu, docker.io is installed where it is
# missing and a dockerd of its own is started that keeps everything in FOLDER (best on a tmpfs, about 4 GB).
# Exit status 69: no engine can be had on this machine; the reason is on stderr.
set -euo pipefail

NO_ENGINE=69   # EX_UNAVAILABLE
COMPOSE_SUITE=trixie   # a Debian suite that has compose v2

say() { echo "engine: $*" >&2; }

give_up() { say "$*"; exit "$NO_ENGINE"; }

install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] && return
  say "installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$folder/apt.log" 2>&1
}

engine_answers() { docker version >/dev/null 2>&1; }

own_engine_runs() { [ -s "$folder/dockerd.pid" ] && kill -0 "$(cat "$folder/dockerd.pid")" 2>/dev/null; }

start_engine() {
  [ "$(id -u)" -eq 0 ] || give_up "no engine answers, and only root can start one; start Docker, or run this as root"
  command -v apt-get >/dev/null || command -v dockerd >/dev/null || give_up "no engine answers, and there is neither dockerd nor apt"
  if command -v apt-get >/dev/null; then
    # docker.io brings dockerd; Debian 13 has the command line in a package of its own.
    install_packages docker.io iptables || give_up "docker.io cannot be installed: $(tail -n 1 "$folder/apt.log")"
    command -v docker >/dev/null || install_packages docker-cli || give_up "docker-cli cannot be installed"
  fi
  say "starting dockerd in $folder"
  setsid nohup dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/dockerd.pid" \
    --host "unix://$folder/docker.sock" >"$folder/dockerd.log" 2>&1 </dev/null &
  local process=$!
  for _ in $(seq 600); do
    engine_answers && return
    kill -0 "$process" 2>/dev/null || give_up "dockerd has ended: $(tail -n 1 "$folder/dockerd.log")"
    sleep 0.1
  done
  kill "$process"
  give_up "dockerd does not answer within a minute: $(tail -n 1 "$folder/dockerd.log")"
}

# Compose v2 out of a newer Debian suite: one static file, unpacked into FOLDER and not installed.
fetch_compose() {
  local work=$folder/apt plugins=$folder/config/cli-plugins options
  mkdir -p "$work"/{etc,lists/partial,cache/archives/partial} "$plugins"
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  local mirror; mirror=$(awk '/^URIs:/ && !/security/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
    "${mirror:-http://deb.debian.org/debian}" "$COMPOSE_SUITE" "$keyring" >"$work/etc/newer.sources"
  options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/etc" -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
  cd "$work"
  apt-get "${options[@]}" update && apt-get "${options[@]}" download docker-compose || return
  dpkg-deb -x docker-compose_*.deb unpacked || return
  cp unpacked/usr/libexec/docker/cli-plugins/docker-compose "$plugins/" || return
  rm -rf "$work"
}

find_compose() {
  docker compose version >/dev/null 2>&1 && { echo "export COMPOSE='docker compose'"; return; }
  if [ ! -x "$folder/config/cli-plugins/docker-compose" ]; then
    say "fetching compose from Debian $COMPOSE_SUITE"
    (fetch_compose) >"$folder/compose.log" 2>&1 || say "that did not work, see $folder/compose.log"
  fi
  if DOCKER_CONFIG=$folder/config docker compose version >/dev/null 2>&1; then
    printf "export DOCKER_CONFIG='%s'\nexport COMPOSE='docker compose'\n" "$folder/config"
  elif command -v docker-compose >/dev/null || install_packages docker-compose; then
    echo "export COMPOSE=docker-compose"
  else
    give_up "the engine has no compose, and none can be installed; install docker-compose"
  fi
}

up() {
  if engine_answers; then
    say "using the engine that answers already"
  else
    export DOCKER_HOST=unix://$folder/docker.sock
    own_engine_runs || start_engine
    echo "export DOCKER_HOST='$DOCKER_HOST'"
  fi
  find_compose
}

# dockerd mounts its own folder onto itself, and layers and network namespaces below it; not all of them go when it does.
let_go_of_mounts() {
  local mount
  awk -v below="$folder/" 'index($2, below) == 1 {print $2}' /proc/mounts | sort --reverse | while read -r mount; do
    umount "$mount" 2>/dev/null || umount --lazy "$mount"
  done
}

down() {
  own_engine_runs || { say "none of ours runs in $folder"; return; }
  export DOCKER_HOST=unix://$folder/docker.sock
  local process containers; process=$(cat "$folder/dockerd.pid")
  containers=$(docker ps --all --quiet)
  # shellcheck disable=SC2086  # one identifier a word
  [ -z "$containers" ] || docker rm --force $containers >/dev/null
  kill "$process"
  for _ in $(seq 300); do kill -0 "$process" 2>/dev/null || break; sleep 0.1; done
  kill -0 "$process" 2>/dev/null && { say "dockerd $process does not end; see $folder/dockerd.log"; exit 1; }
  let_go_of_mounts
  rm -rf "$folder/data" "$folder/exec" "$folder/docker.sock"
  say "dockerd has ended"
}

case "${1:-}" in
  up | down) [ -n "${2:-}" ] || { say "name a folder"; exit 2; } ;;
  *) say "say 'up FOLDER' or 'down FOLDER'"; exit 2 ;;
esac
mkdir -p "$2"
folder=$(cd "$2" && pwd)
[ -O "$folder" ] || give_up "$folder belongs to somebody else; name another folder"
"$1"
