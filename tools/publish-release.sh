#!/usr/bin/env bash
# Publishes a GitHub release with the archives of a folder. The workflow "Release" runs it.
#
#   GITHUB_REF_NAME=vX.Y.Z GH_TOKEN=… tools/publish-release.sh ARCHIVES
set -euo pipefail
version=${GITHUB_REF_NAME#v}
cd "$1"
for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-apple-darwin aarch64-apple-darwin x86_64-pc-windows-msvc; do
  archive=tunnel-balancer-$version-$target.tar.gz
  [ -f "$archive" ] || { echo "error: missing $archive: the tag and the version of Cargo.toml differ" >&2; exit 1; }
done
sha256sum tunnel-balancer-"$version"-*.tar.gz > SHA256SUMS
cat SHA256SUMS
# The changes of this version: from its heading to the next one.
awk -v version="$version" '/^## / { found = $2 == version; next } found' "$OLDPWD/CHANGELOG.md" > notes.md
[ -s notes.md ] || { echo "error: CHANGELOG.md has no changes of $version" >&2; exit 1; }
gh release create "$GITHUB_REF_NAME" --repo "$GITHUB_REPOSITORY" --verify-tag --title "$version" \
  --notes-file notes.md tunnel-balancer-"$version"-*.tar.gz SHA256SUMS
