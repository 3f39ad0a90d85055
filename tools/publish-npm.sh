#!/usr/bin/env bash
# Makes the packages of npm with the programs of all archives, and publishes them with their
# provenance. The workflow "Release" runs it, as a trusted publisher of the packages.
#
#   GITHUB_REPOSITORY=owner/name GITHUB_REF_NAME=vX.Y.Z tools/publish-npm.sh ARCHIVES
set -euo pipefail
version=${GITHUB_REF_NAME#v}
programs=()
for archive in "$1"/tunnel-balancer-"$version"-*.tar.gz; do
  tar --extract --file "$archive" --directory "$1"
  folder=${archive%.tar.gz}
  program=$folder/tunnel-balancer
  [ -f "$program" ] || program=$program.exe
  programs+=(--program "${folder##*/tunnel-balancer-"$version"-}=$program")
done
cargo xtask npm "${programs[@]}"

# The packages of platforms come first: the others depend on them.
for folder in target/npm-packages/node_modules/{tunnel-balancer-*,tunnel-balancer,create-tunnel-balancer}; do
  (
    cd "$folder"
    # It has to be the repository of the workflow.
    npm pkg set repository.type=git "repository.url=git+https://github.com/$GITHUB_REPOSITORY.git"
    npm publish --provenance --access public
  )
done
