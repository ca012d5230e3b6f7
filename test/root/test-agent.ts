/** An OCF agent that does as its parameters say and notes each action down, installed for one test file. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface TestAgent {
  readonly type: string
  /** What was called, with the parameter `speed` at that time, such as `start 1`. */
  calls(log: string): readonly string[]
  remove(): void
}

/** Of OCF 1.1. `answers` is a folder: a file named after an action holds the status that it ends with, one named after action and node likewise. */
export function installTestAgent(name: string): TestAgent {
  const provider = `quorate-test-${name}-${process.pid}`
  const folder = join('/usr/lib/ocf/resource.d', provider)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'Play'), script, { mode: 0o755 })
  return {
    type: `ocf:${provider}:Play`,
    calls: (log) => {
      try {
        return readFileSync(log, 'utf8').trim().split('\n')
      } catch {
        return []
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

const script = `#!/bin/sh
: \${OCF_FUNCTIONS_DIR=\${OCF_ROOT}/lib/heartbeat}
. \${OCF_FUNCTIONS_DIR}/ocf-shellfuncs
state=$OCF_RESKEY_answers/$OCF_RESOURCE_INSTANCE.state
metadata() {
cat <<END
<?xml version="1.0"?>
<resource-agent name="Play" version="1.0">
<version>1.1</version>
<longdesc lang="en">Plays.</longdesc><shortdesc lang="en">Plays</shortdesc>
<parameters>
<parameter name="answers" required="1"><longdesc lang="en">Folder of answers.</longdesc><content type="string"/></parameter>
<parameter name="speed" reloadable="1"><longdesc lang="en">Speed.</longdesc><content type="integer" default="1"/></parameter>
<parameter name="name" unique="1"><longdesc lang="en">Name.</longdesc><content type="string"/></parameter>
<parameter name="old"><deprecated><replaced-with name="name"/></deprecated><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="20s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="20s" interval="10s"/>
<action name="reload-agent" timeout="20s"/><action name="greet" timeout="7s"/><action name="validate-all" timeout="20s"/><action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
END
}
[ "$1" = meta-data ] && { metadata; exit 0; }
[ "$1" = monitor ] || echo "$1 \${OCF_RESKEY_speed:-1}" >> "$OCF_RESKEY_answers/log"
for answer in "$1" "$1.$OCF_RESKEY_CRM_meta_on_node"; do
  if [ -e "$OCF_RESKEY_answers/$answer" ]; then
    read status < "$OCF_RESKEY_answers/$answer"
    ocf_exit_reason "told to answer $status to $answer"
    exit $status
  fi
done
case $1 in
start) touch "$state" ;;
stop) rm -f "$state" ;;
monitor) [ -e "$state" ] || exit 7 ;;
reload-agent) [ -e "$state" ] || exit 7 ;;
validate-all) : ;;
greet) echo "greetings from $OCF_RESOURCE_INSTANCE on $OCF_RESKEY_CRM_meta_on_node within $OCF_RESKEY_CRM_meta_timeout under $QUORATE_GRANT_TOKEN" ;;
*) exit 3 ;;
esac
exit 0
`
