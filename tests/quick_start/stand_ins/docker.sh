#!/bin/sh
# Docker without containers: the command of the service `balancer` of compose.yaml is a process of
# this machine.
set -eu

# Prints arguments with the folders of this machine instead of those of the container.
folders() { sed 's#/etc/tunnel-balancer#config#; s#/var/lib/tunnel-balancer#.#'; }

case "$*" in
  'compose --profile serve build')
    ;;
  'compose --profile serve up --detach')
    grep -q '^TUNNEL_TOKEN=.' .env
    set -- $(sed -n '/^  balancer:/,/^  cloudflared:/s/^      - //p' compose.yaml | folders)
    tunnel-balancer "$@" > balancer.log &
    echo $! > balancer.pid
    until tunnel-balancer healthcheck "$ADMIN" 2> /dev/null; do sleep 0.1; done
    ;;
  'compose exec balancer /tunnel-balancer '*)
    shift 4
    exec tunnel-balancer $(printf '%s\n' "$@" | folders)
    ;;
  'compose logs balancer')
    cat balancer.log
    ;;
  'compose --profile serve down')
    kill "$(cat balancer.pid)"
    ;;
  *)
    echo "unexpected command: docker $*" >&2
    exit 1
    ;;
esac
