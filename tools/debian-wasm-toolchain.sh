#!/usr/bin/env bash
# Builds a Rust toolchain for wasm32-unknown-unknown from Debian's packages, for machines where rustup cannot add the
# target. Debian ships the compiler and the source of the standard library, but no wasm build of it. The result goes
# into the cache, where `cargo xtask` finds it. Nothing changes where it exists and fits the installed compiler.
#
#   wasm-toolchain/bin/rustc     Debian's rustc with this directory as its sysroot
#                  bin/cargo     Debian's cargo
#                  lib/rustlib   links to Debian's libraries and linker, and the standard library for wasm
#                  version       the compiler that it was built with and for
set -euo pipefail

target=wasm32-unknown-unknown
cache="${TUNNEL_BALANCER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tunnel-balancer}"
toolchain="$cache/wasm-toolchain"
files=(/usr/bin/rustc /usr/bin/cargo /usr/bin/wasm-ld-19 /usr/lib/rustlib/src/rust/library/std/Cargo.toml)

# cargo and rustup pass their own toolchain to child processes.
unset RUSTUP_TOOLCHAIN LD_LIBRARY_PATH CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER CARGO_BUILD_TARGET

mkdir -p "$cache"
exec 9> "$cache/wasm-toolchain.lock"
flock 9

if ! ls "${files[@]}" > /dev/null 2>&1; then
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update
  # In Debian 12 a recent rustc-web is in the security updates (bookworm-security).
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y --no-install-recommends \
    rustc-web cargo-web rust-web-src lld-19
fi

version="$(/usr/bin/rustc --version)"
if [ "$(cat "$toolchain/version" 2> /dev/null)" = "$version" ]; then
  echo "$toolchain: $version"
  exit
fi

echo "building the standard library for $target with $version (about 40 seconds)"
work="$(mktemp -d "$cache/wasm-toolchain.XXXXXX")"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/stub/src"
touch "$work/stub/src/lib.rs"
printf '[package]\nname = "stub"\nversion = "0.0.0"\nedition = "2021"\n\n[workspace]\n' > "$work/stub/Cargo.toml"
# A build with link-time optimization needs bitcode in the libraries.
(cd "$work/stub" && RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/target" \
  /usr/bin/cargo build --release -Zbuild-std=std,panic_abort --target "$target")

host="$(/usr/bin/rustc -vV | sed -n 's/^host: //p')"
new="$work/toolchain"
mkdir -p "$new/bin" "$new/lib/rustlib/$host/bin" "$new/lib/rustlib/$target/lib"
rm -f "$work/target/$target/release/deps"/libstub-*
cp "$work/target/$target/release/deps"/*.rlib "$new/lib/rustlib/$target/lib"
ln -s "/usr/lib/rustlib/$host/lib" "$new/lib/rustlib/$host/lib"
ln -s /usr/bin/wasm-ld-19 "$new/lib/rustlib/$host/bin/rust-lld"
ln -s /usr/bin/cargo "$new/bin/cargo"
printf '#!/bin/sh\nunset LD_LIBRARY_PATH\nexec /usr/bin/rustc --sysroot "%s" "$@"\n' "$toolchain" > "$new/bin/rustc"
chmod +x "$new/bin/rustc"
echo "$version" > "$new/version"
rm -rf "$toolchain"
mv "$new" "$toolchain"
echo "$toolchain: $version"
