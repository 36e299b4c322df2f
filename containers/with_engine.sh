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
case $exports in *DOCKER_HOST*) trap '"$here/engine.sh" down "$ENGINE_FOLDER"' EXIT ;; esac
eval "$exports"
[ -n "${BASE_IMAGE:-}" ] || BASE_IMAGE=$("$here/base_image.sh")
export BASE_IMAGE
"$@"
