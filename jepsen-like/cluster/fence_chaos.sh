#!/bin/sh
# Fence agent of a chaos run: that of the power supplies, unless the device was told to misbehave. The folder of this file has
# `device-NODE` with one word: broken (no answer), refuse (an error at once), slow (five seconds late), deaf (says that it is off,
# and does nothing; its status is true).
here=$(dirname "$0")
input=$(cat)
node=$(printf '%s\n' "$input" | sed -n 's/^node=//p')
action=$(printf '%s\n' "$input" | sed -n 's/^action=//p')
mode=$(cat "$here/device-$node" 2>/dev/null)
case "$mode" in
  broken) sleep 60; exit 1 ;;
  refuse) echo 'the device refuses' >&2; exit 1 ;;
  slow) sleep 5 ;;
  deaf) if [ "$action" = off ] || [ "$action" = reboot ]; then echo "Success: $action"; exit 0; fi ;;
esac
printf '%s\n' "$input" | "$here/fence_outlet"
