#!/bin/sh
# npm without a registry: its packages are those of the repository.
set -eu
case "$*" in
  'create tunnel-balancer '*)
    directory=$3
    shift 4
    exec tunnel-balancer init --npm "$directory" "$@"
    ;;
  install)
    mkdir -p node_modules/.bin node_modules/tunnel-balancer/worker
    cp -r "$REPOSITORY/npm/tunnel-balancer/." node_modules/tunnel-balancer
    ln -s "$REPOSITORY/crates/worker/js" "$REPOSITORY/crates/worker/build" node_modules/tunnel-balancer/worker
    ln -s "$(command -v tunnel-balancer)" node_modules/.bin/tunnel-balancer
    ln -s "$(command -v wrangler)" node_modules/.bin/wrangler
    ;;
  *)
    echo "unexpected command: npm $*" >&2
    exit 1
    ;;
esac
