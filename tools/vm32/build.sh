#!/usr/bin/env bash
# Builds build/vm32/micropython: the unix port of MicroPython with an ESP32's word, float and small integers.
#
# Needs Debian on amd64 and, for a compiler of 32-bit programs and its C library, root. The sources are those of
# Debian's next release, fetched with apt (which checks their signatures) and pinned here; /etc/apt stays as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tools/vm32
out=$PWD/build/vm32
suite=trixie
micropython=micropython_1.25.0+ds.orig.tar.xz
micropython_sha256=7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea

unset MAKEFLAGS MFLAGS MAKEOVERRIDES

say() { printf '==> vm32: %s\n' "$*"; }
retry() { "$@" || { sleep 5; "$@"; } || { sleep 20; "$@"; }; }

if [ -n "${MICROPYTHON32:-}" ]; then exit 0; fi
if [ -x "$out/micropython" ] && [ "$out/micropython" -nt "$here/build.sh" ]; then exit 0; fi
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || { say 'needs Debian on amd64' >&2; exit 1; }

if ! dpkg -s gcc-multilib dpkg-dev xz-utils bzip2 >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || { say 'needs root once, to install gcc-multilib dpkg-dev xz-utils bzip2' >&2; exit 1; }
  say 'installing the compiler'
  retry apt-get update -qq || say 'some of the package lists did not come'
  retry apt-get install -y -qq --no-install-recommends --no-upgrade gcc-multilib dpkg-dev xz-utils bzip2 >/dev/null
fi

say 'fetching the sources'
rm -rf "$out"
mkdir -p "$out/fetched" "$out/apt/lists/partial" "$out/apt/cache/archives/partial"
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
  >"$out/apt/sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$out/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State::lists=$out/apt/lists" -o "Dir::Cache=$out/apt/cache" -o APT::Sandbox::User=root)
retry "${apt[@]}" update
(cd "$out/fetched" && retry "${apt[@]}" source --download-only micropython mbedtls)
echo "$micropython_sha256  $out/fetched/$micropython" | sha256sum --check --quiet -

src=$out/src
mkdir "$src"
tar xJf "$out/fetched/$micropython" -C "$src" --strip-components=1
rm -rf "$src/lib/mbedtls" && mkdir "$src/lib/mbedtls"
tar xjf "$out"/fetched/mbedtls_*.orig.tar.bz2 -C "$src/lib/mbedtls" --strip-components=1
# Debian's archive leaves micropython-lib out; nothing here uses it.
sed -i '/test -e "$(MPY_LIB_DIR)\/README.md"/d' "$src/py/mkrules.mk"

# The stack of the 64-bit VM: sources that import sources need it, the one module of a build does not.
sed -i 's/40000 \* (sizeof(void \*) \/ 4)/80000/' "$src/ports/unix/main.c"
grep -q 80000 "$src/ports/unix/main.c"

say 'compiling (half a minute)'
if ! { make -C "$src/mpy-cross" -j2 &&
  make -C "$src/ports/unix" -j2 VARIANT_DIR="$here/esp32like" BUILD="$out/made"; } >"$out/log" 2>&1; then
  tail -20 "$out/log" >&2
  exit 1
fi
"$out/made/micropython" -X heapsize=164K "$here/check.py"
install -m755 "$out/made/micropython" "$out/micropython"
rm -rf "$src" "$out/made" "$out/fetched" "$out/apt"
say "$out/micropython is ready"
