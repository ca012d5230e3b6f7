#!/bin/sh
# A service of the chaos on one node. What it notes into its journal is outside the cluster's control: a line for its start and one
# every 100 ms, with the uptime of the machine in seconds, its pid and the token of its grant.
# Arguments: run | run-on (which ends only when it is killed) | start | stop | probe | slow-start | slow-stop | slow-probe, then its folder.
what=$1 folder=$2
journal=$folder/journal
pidfile=$folder/pid

note() {
  read -r uptime _ </proc/uptime
  printf '%s %s %s %s\n' "$uptime" "$1" "$$" "${QUORATE_GRANT_TOKEN:-0}" >>"$journal"
}

# Whether the process of the pid file is ours: its command line names this folder.
is_ours() {
  [ -r "$pidfile" ] && read -r pid <"$pidfile" && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "run $folder"
}

case $what in
  run | run-on)
    if [ "$what" = run ]; then trap 'note stop; exit 0' TERM; else trap '' TERM; fi
    note start
    while :; do
      sleep 0.1
      note beat
    done
    ;;
  start | slow-start)
    [ "$what" = start ] || sleep 0.5
    is_ours && exit 0
    setsid "$0" run "$folder" </dev/null >/dev/null 2>&1 &
    echo $! >"$pidfile"
    ;;
  stop | slow-stop)
    [ "$what" = stop ] || sleep 0.5
    is_ours || exit 0
    kill -TERM "$pid" && kill -CONT "$pid"
    while is_ours; do sleep 0.05; done
    ;;
  probe | slow-probe)
    [ "$what" = probe ] || sleep 0.5
    is_ours || exit 7
    # One that stands still is not well.
    case $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) in T | t) echo 'it stands still' && exit 1 ;; esac
    ;;
esac
exit 0
