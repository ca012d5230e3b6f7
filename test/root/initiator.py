"""An initiator that writes to a LUN by a session of its own: what persistent reservations are to refuse.

    initiator.py PROGRAM URL NAME     then lines: register KEY, write BLOCK, read BLOCK; each is answered by one word
"""
import importlib.machinery
import importlib.util
import sys

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


print('ready', flush=True)
for line in sys.stdin:
    try:
        carry_out(*line.split())
        print('good', flush=True)
    except program.Answered as answered:
        print(answered.status, flush=True)
    except program.Lost:
        print('lost', flush=True)
