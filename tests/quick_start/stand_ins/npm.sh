#!/bin/sh
# npm without a registry: its packages are those of `cargo xtask npm --folders`.
set -eu
packages=$REPOSITORY/target/npm-packages/node_modules
case "$*" in
  'create tunnel-balancer '*)
    directory=$3
    shift 4
    exec node "$packages/create-tunnel-balancer/bin/create-tunnel-balancer.js" "$directory" "$@"
    ;;
  install)
    mkdir -p node_modules/.bin
    ln -s "$packages"/* node_modules
    ln -s ../tunnel-balancer/bin/tunnel-balancer.js node_modules/.bin/tunnel-balancer
    ln -s "$(command -v wrangler)" node_modules/.bin/wrangler
    ;;
  *)
    echo "unexpected command: npm $*" >&2
    exit 1
    ;;
esac
