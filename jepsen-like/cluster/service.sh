#!/bin/sh
# The service of a chaos run: takes a lock on a file that all nodes share, and then serves. A second copy is refused by the
# kernel, and the journal says so. Arguments: lock, journal, then the program.
lock=$1 journal=$2
shift 2
exec 9>>"$lock"
if ! flock -n 9; then
  printf '{"at":%s,"node":"%s","token":%s,"pid":%s,"what":"locked"}\n' "$(date +%s%3N)" "$QUORATE_NODE" "${QUORATE_GRANT_TOKEN:-0}" "$$" >>"$journal"
  exit 75
fi
exec "$@"
