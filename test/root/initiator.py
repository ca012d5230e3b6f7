"""An initiator that writes to a LUN by a session of its own: what persistent reservations are to refuse.

    initiator.py PROGRAM URL NAME     then lines: register KEY, write BLOCK, read BLOCK; each is answered by one word
    initiator.py PROGRAM URL NAME JOURNAL API DISK     a service: registers with the key of the node that answers there, and
                                                       writes and writes, a line of the journal for each
"""
import importlib.machinery
import importlib.util
import json
import sys
import time
import urllib.request

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader('quorate_disk', sys.argv[1])
program = importlib.util.module_from_spec(importlib.util.spec_from_loader('quorate_disk', loader))
loader.exec_module(program)
ctypes = program.ctypes

disk = program.IscsiDisk(sys.argv[2], sys.argv[3], '', '', 5000)
disk.login()
number, pointer = ctypes.c_int, ctypes.c_void_p
write = disk.library.iscsi_write10_sync
write.restype, write.argtypes = pointer, [pointer, number, ctypes.c_uint32, pointer, ctypes.c_uint32] + [number] * 6
read = disk.library.iscsi_read10_sync
read.restype, read.argtypes = pointer, [pointer, number, ctypes.c_uint32, ctypes.c_uint32] + [number] * 6
block = ctypes.create_string_buffer(b'W' * 512, 512)


def carry_out(word, value):
    if word == 'register':
        disk.register(int(value, 16))
        return
    call = (
        write(disk.context, disk.lun, int(value), block, 512, 512, 0, 0, 0, 0, 0)
        if word == 'write'
        else read(disk.context, disk.lun, int(value), 512, 512, 0, 0, 0, 0, 0)
    )
    disk.library.scsi_free_scsi_task(disk.check(call, word))


def attempt(word, value):
    try:
        carry_out(word, value)
        return 'good'
    except program.Answered as answered:
        return answered.status
    except program.Lost:
        return 'lost'


def serve(journal, api, shared):
    with urllib.request.urlopen(f'{api}/v1/disks/{shared}?consistency=local') as answer:
        here = json.load(answer)['here']
    attempt('register', here['key'])
    with open(journal, 'a', buffering=1) as lines:
        while True:
            began = time.time()
            said = attempt('write', '7')
            lines.write(json.dumps({'node': here['node'], 'began': began, 'ended': time.time(), 'said': said}) + '\n')
            time.sleep(0.02)


if len(sys.argv) > 4:
    serve(*sys.argv[4:7])
print('ready', flush=True)
for line in sys.stdin:
    print(attempt(*line.split()), flush=True)
