# Shared by the chaos scripts for clusters of your own: options, the way to a host, and the undo that comes by itself. Not a command.
#
# Set by who sources it: $usage. Sets: $node (the first argument), $undo (yes or empty), $for (seconds), and what it is told to take.

name=$(basename "$0")
undo= for=60 config=/etc/quorate/node.yaml
CHAOS_ON=${CHAOS_ON:-ssh root@%s}

fail() {
  echo "$name: $*" >&2
  exit 1
}
wrong() {
  echo "$name: $*" >&2
  echo "$usage" >&2
  exit 64
}

# Every option takes a value, except --undo and --help. Others than the common ones must be named in $takes.
read_options() {
  node=
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) echo "$usage"; common_help; exit 0 ;;
      --undo) undo=yes ;;
      --for | --config | --on)
        [ $# -gt 1 ] || wrong "$1 needs a value"
        case $1 in --for) for=$2 ;; --config) config=$2 ;; --on) CHAOS_ON=$2 ;; esac
        shift ;;
      --*)
        option=${1#--}
        case " ${takes:-} " in *" $option "*) ;; *) wrong "there is no option $1" ;; esac
        [ $# -gt 1 ] || wrong "$1 needs a value"
        # Names of options are our own words; values are only ever quoted.
        eval "$option=\$2"
        shift ;;
      *)
        [ -z "$node" ] || wrong "one node, not $node and $1"
        node=$1 ;;
    esac
    shift
  done
  [ -n "$node" ] || wrong 'name a node'
  case $node in *[!A-Za-z0-9._-]*) wrong "$node cannot be the name of a node" ;; esac
  case $for in '' | *[!0-9]*) wrong "--for is a number of seconds, not $for" ;; esac
}

common_help() {
  cat <<HELP

  --undo         takes it back now
  --for SECONDS  it takes itself back after so long, on the host itself, so that nothing stays broken when you lose your way
                 there (60)
  --on TEMPLATE  how a command is run on a node's host; %s is the node, and the command comes as one more argument (CHAOS_ON,
                 or: ssh root@%s). "sh -c" runs it here, "scripts/lab/lab on %s sh -c" in the laboratory
  --config FILE  the node's file on its host, by which its processes are told ($config)
HELP
}

# Runs a piece of shell on the host of the node.
on_host() {
  # shellcheck disable=SC2046,SC2059 # The template is words on purpose.
  set -- $(printf "$CHAOS_ON" "$node") "$1"
  "$@" </dev/null
}

# Addresses with commas between them, from $peer, as nft takes them: $peers4 and $peers6.
split_peers() {
  case $peer in *[!0-9a-fA-F.:,]*) wrong "--peer is an address, or several with commas between them, not $peer" ;; esac
  peers4='' peers6=''
  for address in $(echo "$peer" | tr , ' '); do
    case $address in *:*) peers6="$peers6${peers6:+, }$address" ;; *) peers4="$peers4${peers4:+, }$address" ;; esac
  done
}

# The node's processes in a role: the command line begins with the interpreter, not with who started it, and ends with its config file.
pids_of() {
  echo "pgrep -f -- '^[^ ]*node( --[^ ]+)* [^ ]*(quorate(\\.js)?|main\\.js) $1 --config $config\$'"
}

# A file on the host that says which application of this script is in force: an older one's end does not end a newer one.
mark_of() {
  echo "d=/run; [ -w \$d ] || d=\${TMPDIR:-/tmp}; mark=\$d/quorate-chaos-$name-$node"
}

# Does it, after having made sure that it is undone. Arguments: what does it, what takes it back.
do_for() {
  on_host "$(mark_of); id=\$\$-\$(date +%s%N); echo \$id >\"\$mark\"
    ( left=$for
      while [ \$left -gt 0 ]; do
        sleep 1
        [ \"\$(cat \"\$mark\" 2>/dev/null)\" = \"\$id\" ] || exit
        left=\$((left - 1))
      done
      rm -f \"\$mark\"; $2 ) </dev/null >/dev/null 2>&1 &
    $1" || fail "it could not be done on $node"
}

# Takes it back now.
take_back() {
  on_host "$(mark_of); rm -f \"\$mark\"; $1"
}
