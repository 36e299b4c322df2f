#!/usr/bin/env bash
# Prints the name of the image to build on: the public one where the engine has it or can pull it, otherwise a local one of
# the same Debian and Python, made from Debian packages by mmdebstrap. The local one is kept as a file and imported again.
set -euo pipefail

public=python:3.11-slim-bookworm
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tianshu
architecture=${ARCHITECTURE:-$(dpkg --print-architecture 2>/dev/null || uname -m)}   # amd64 or arm64
local_image=local/$public-$architecture
archive=$cache/bookworm-python3.11-$architecture.tar
pull_limit_s=60

say() { echo "base image: $*" >&2; }

present() { [ "$(docker image inspect --format '{{.Architecture}}' "$1" 2>/dev/null)" = "$architecture" ]; }

pulled() { timeout "$pull_limit_s" docker pull --quiet --platform "linux/$architecture" "$1" >/dev/null 2>&1; }

# Certificates that this machine trusts beside the usual ones are trusted in the image, too: pip needs them behind a proxy.
make_archive() {
  command -v mmdebstrap >/dev/null || {
    say "installing mmdebstrap"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap; } >&2
  }
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  local certificates=/usr/local/share/ca-certificates sources=() file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources; do [ -s "$file" ] && sources+=("$file"); done
  TMPDIR=$work mmdebstrap --quiet --variant=minbase --architectures="$architecture" --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --include=python3,python3-venv,ca-certificates \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python"' \
    --customize-hook="mkdir -p \"\$1$certificates\"; cp -r $certificates/. \"\$1$certificates\"; chroot \"\$1\" update-ca-certificates" \
    bookworm "$work/image.tar" "${sources[@]}" >&2
  mv "$work/image.tar" "$archive"
}

# `docker import` of older engines takes every archive for one of the machine's own architecture, hence an image made by hand.
load_archive() {
  local bundle=/etc/ssl/certs/ca-certificates.crt path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin image digest
  image=$(mktemp -d)
  digest=$(sha256sum <"$archive" | cut -d ' ' -f 1)
  printf '{"architecture": "%s", "os": "linux", "config": {"Env": ["PATH=%s", "LANG=C.UTF-8", "PIP_CERT=%s", "SSL_CERT_FILE=%s"],
    "Cmd": ["python3"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:%s"]}}' \
    "$architecture" "$path" "$bundle" "$bundle" "$digest" >"$image/config.json"
  printf '[{"Config": "config.json", "RepoTags": ["%s"], "Layers": ["layer.tar"]}]' "$local_image" >"$image/manifest.json"
  ln -s "$archive" "$image/layer.tar"
  tar --create --dereference --directory "$image" . | docker load --quiet >&2
  rm -r "$image"
}

if present "$public" || pulled "$public"; then
  echo "$public"
  exit
fi
if ! present "$local_image"; then
  if [ ! -s "$archive" ]; then
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null ||
      { say "$public cannot be pulled, and a local one needs root and apt; set BASE_IMAGE to an image with Python 3.11"; exit 1; }
    say "$public cannot be pulled; making $local_image from Debian packages"
    make_archive
  fi
  load_archive
fi
echo "$local_image"
