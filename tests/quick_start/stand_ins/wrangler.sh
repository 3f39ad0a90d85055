#!/bin/sh
# wrangler without an account: nothing is uploaded, and the rest is the real program.
set -eu
export WRANGLER_SEND_METRICS=false CLOUDFLARE_CF_FETCH_ENABLED=false CI=1
program=$REPOSITORY/node_modules/wrangler/bin/wrangler.js

case "$*" in
  'dev '*)
    exec node "$program" "$@"
    ;;
  dev)
    # In the foreground: a reader edits the map, waits until the edit is live, and presses Ctrl-C.
    node "$program" dev --ip 127.0.0.1 --port 0 --inspector-port 0 > dev.log 2>&1 &
    wrangler=$!
    url() { sed -n 's#.*Ready on \(http://[^ ]*\).*#\1#p' dev.log; }
    status() { curl -s -o /dev/null -w '%{http_code}' -H 'Host: edited.example.com' "$(url)/"; }
    until_status() {
      for _ in $(seq 600); do
        if [ "$(status)" = "$1" ]; then return; fi
        kill -0 $wrangler || break
        sleep 0.2
      done
      cat dev.log
      exit 1
    }
    until_status 404
    cp services.yaml services.old.yaml
    echo "  edited.example.com: http://$SERVER" >> services.yaml
    until_status 200
    mv services.old.yaml services.yaml
    kill -INT $wrangler
    wait $wrangler
    ;;
  'deploy --dry-run')
    exec node "$program" "$@"
    ;;
  login | rollback)
    echo "$1"
    ;;
  'secret list'*)
    echo '[]'
    ;;
  'deployments status'*)
    echo '{ "versions": [] }'
    ;;
  deploy*)
    node "$program" "$@" --dry-run
    echo 'Current Version ID: v1'
    echo '{"type":"deploy","version_id":"v1"}' >> "$WRANGLER_OUTPUT_FILE_PATH"
    ;;
  *)
    echo "unexpected command: wrangler $*" >&2
    exit 1
    ;;
esac
