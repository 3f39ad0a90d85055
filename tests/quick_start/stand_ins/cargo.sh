#!/bin/sh
# cargo at the root of a clone: the real one, with the profile and the target directory of the
# tests, which have compiled most of it. The Worker is built too.
set -eu
cd "$REPOSITORY"
built=$(dirname "$(readlink -f "$(command -v tunnel-balancer)")")
export CARGO_TARGET_DIR="${built%/*}"

case "$*" in
  'install '*)
    "$CARGO" "$@" --offline --debug --root "$MACHINES/cargo"
    "$MACHINES/cargo/bin/tunnel-balancer" --version
    ;;
  'xtask dev')
    # In the foreground: a reader follows what the demo says, and presses Ctrl-C.
    "$CARGO" xtask dev --help > /dev/null
    "$built/demo" --port "$DEMO" > "$MACHINES/demo.log" 2>&1 &
    demo=$!
    served_by() { curl -s -o /dev/null -D - -H "Host: demo.localhost:$DEMO" "http://127.0.0.1:$DEMO/" | grep -i '^x-served-by'; }
    until_served_by() {
      for _ in $(seq 300); do
        if served_by | grep -q "$1"; then return; fi
        kill -0 $demo || break
        sleep 0.2
      done
      cat "$MACHINES/demo.log"
      exit 1
    }
    until_served_by primary
    curl -s -X POST "$(grep -o -m 1 'http://[^ ]*/primary/530' "$MACHINES/demo.log")"
    until_served_by replica
    kill -INT $demo
    wait $demo
    ;;
  *)
    echo "unexpected command: cargo $*" >&2
    exit 1
    ;;
esac
