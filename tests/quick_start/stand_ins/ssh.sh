#!/bin/sh
# A login on another machine. Its application, or its tunnel, is a process of this one.
set -eu
test "$2 $3 $4" = 'sudo systemctl stop'
kill "$(cat "$MACHINES/$1")"
