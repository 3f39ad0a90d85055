#!/usr/bin/env bash
# Builds the container image for amd64 and arm64 and pushes it to the registry of GitHub. The
# workflow "Release" runs it.
#
#   GITHUB_REPOSITORY=owner/name GITHUB_REF_NAME=vX.Y.Z GITHUB_ACTOR=… GH_TOKEN=… tools/publish-image.sh
set -euo pipefail
image=ghcr.io/${GITHUB_REPOSITORY,,}
version=${GITHUB_REF_NAME#v}
docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin <<< "$GH_TOKEN"
docker buildx create --use
docker buildx build --platform linux/amd64,linux/arm64 --provenance=true --push \
  --label "org.opencontainers.image.source=https://github.com/$GITHUB_REPOSITORY" \
  --label "org.opencontainers.image.version=$version" \
  --label "org.opencontainers.image.licenses=MIT OR Apache-2.0" \
  --tag "$image:$version" --tag "$image:latest" .
