#!/usr/bin/env bash
# Builds the image for arm64 under qemu-user, imports what flies in it, and flies a small scene. An optional check: it takes many
# times as long as on a board. Run it by `containers/with_engine.sh containers/arm64.sh`, as root on Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

image=tianshu:arm64
binfmt=/proc/sys/fs/binfmt_misc

say() { echo "arm64: $*" >&2; }

# The kernel hands arm64 programs to qemu, in containers as well: the flag F opens the interpreter once, at registration.
register_qemu() {
  [ -e "$binfmt/qemu-aarch64" ] && return
  command -v qemu-aarch64-static >/dev/null && command -v mmdebstrap >/dev/null || {
    say "installing qemu-user-static and mmdebstrap"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static mmdebstrap arch-test >&2
  }
  [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt"
  [ -e "$binfmt/qemu-aarch64" ] && return
  local start='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  echo ":qemu-aarch64:M::$start:$mask:$(command -v qemu-aarch64-static):OCF" >"$binfmt/register"
  trap 'echo -1 >"$binfmt/qemu-aarch64"' EXIT
}

began=$SECONDS
lap() { say "$1 after $((SECONDS - began)) s"; }

register_qemu
base=$(ARCHITECTURE=arm64 containers/base_image.sh)
lap "base image $base"
BASE_IMAGE=$base TIANSHU_IMAGE=$image DOCKER_DEFAULT_PLATFORM=linux/arm64 ${COMPOSE:-docker compose} build --progress plain onboard >&2
lap "image $(docker image inspect --format '{{.Size}}' "$image") bytes"
docker run --rm --platform linux/arm64 --network none --read-only --entrypoint python3 "$image" -c '
import platform, cryptography, numpy, openvino, raptorq, rasterio, zstandard
import mission.cli, onboard.detector_openvino
print(platform.machine(), "openvino", openvino.__version__, "rasterio", rasterio.__version__)'
lap "imports"
docker run --rm --platform linux/arm64 --network none --read-only --tmpfs /tmp --tmpfs /out:uid=1000 "$image" \
  run /opt/sample_data/harbour_20260301.tif --out /out/flight | tail -n 20
lap "one scene flown"
