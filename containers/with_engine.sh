#!/usr/bin/env bash
# Runs a command with a container engine and a base image at hand: DOCKER_HOST, DOCKER_CONFIG, COMPOSE and BASE_IMAGE are set.
# An engine that had to be started for it ends with it. Exit status 69: no engine can be had, nothing was run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
free_kb() { df --output=avail "$1" 2>/dev/null | tail -n 1; }
if [ -z "${ENGINE_FOLDER:-}" ]; then
  ENGINE_FOLDER=${TMPDIR:-/tmp}/tianshu-engine
  [ -w /dev/shm ] && [ "$(free_kb /dev/shm)" -gt 6000000 ] && ENGINE_FOLDER=/dev/shm/tianshu-engine
fi

exports=$("$here/engine.sh" up "$ENGINE_FOLDER")
# What the command has said counts: an engine that leaves a file behind is told on stderr and fails nothing.
end_engine() {
  local status=$?
  "$here/engine.sh" down "$ENGINE_FOLDER" || echo "with_engine: files of the engine remain in $ENGINE_FOLDER; remove them by hand" >&2
  exit "$status"
}
case $exports in *DOCKER_HOST*) trap end_engine EXIT ;; esac
eval "$exports"
[ -n "${BASE_IMAGE:-}" ] || BASE_IMAGE=$("$here/base_image.sh")
export BASE_IMAGE
"$@"
