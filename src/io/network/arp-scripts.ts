/** Small Python programs for what Node has no socket for: ARP. */

/** `DEV ADDRESS`: exit 1 with the MAC of whoever has the address; 0 when nobody answers three probes within a tenth of a second (RFC 5227, shortened: the former holder is proved stopped before). */
export const duplicateCheck = `
import socket, struct, sys, time
device, address = sys.argv[1], socket.inet_aton(sys.argv[2])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind((device, 0))
mac = s.getsockname()[4]
probe = b'\\xff' * 6 + mac + struct.pack('!HHHBBH', 0x0806, 1, 0x0800, 6, 4, 1) + mac + b'\\0' * 4 + b'\\0' * 6 + address
end, sent, due = time.monotonic() + 0.1, 0, 0
while True:
    now = time.monotonic()
    if now >= end: sys.exit(0)
    if sent < 3 and now >= due:
        s.send(probe); sent += 1; due = now + 0.03
    s.settimeout(max(0.001, min(end, due if sent < 3 else end) - now))
    try: frame = s.recv(128)
    except (socket.timeout, BlockingIOError): continue
    if len(frame) >= 42 and frame[12:14] == b'\\x08\\x06' and frame[28:32] == address and frame[22:28] != mac:
        print(':'.join('%02x' % byte for byte in frame[22:28])); sys.exit(1)
`

/** `DEV ADDRESS COUNT`: gratuitous ARP, request and reply each time, the first at once, then every 100 ms. */
export const announce = `
import socket, struct, sys, time
device, address, count = sys.argv[1], socket.inet_aton(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind((device, 0))
mac = s.getsockname()[4]
for turn in range(count):
    if turn: time.sleep(0.1)
    for operation, target in ((1, b'\\0' * 6), (2, b'\\xff' * 6)):
        s.send(b'\\xff' * 6 + mac + struct.pack('!HHHBBH', 0x0806, 1, 0x0800, 6, 4, operation) + mac + address + target + address)
`
