#!/bin/sh
# npx: it starts the programs of the folder. The requests of `deploy` reach the Worker of the test.
set -eu
program=node_modules/.bin/$1
if [ "$1 $2" = 'tunnel-balancer deploy' ]; then set -- "$@" --to "$BALANCER"; fi
shift
exec "$program" "$@"
