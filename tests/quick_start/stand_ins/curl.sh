#!/bin/sh
# curl on a machine where Cloudflare and cloudflared lead the public hostname to the balancer.
for argument do
  shift
  case "$argument" in
    https://chat.example.com/*) set -- "$@" -H 'Host: chat.example.com' "$BALANCER/${argument#https://*/}" ;;
    *) set -- "$@" "$argument" ;;
  esac
done
PATH=${PATH#*:} exec curl "$@"
