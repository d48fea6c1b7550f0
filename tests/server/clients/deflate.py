"""IMAP over deflate with Python's zlib: COMPRESS (RFC 4978), then UNAUTHENTICATE (RFC 8437), which ends it."""

import socket
import sys
import zlib

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
wire = socket.create_connection(("127.0.0.1", port), 20)
pack = unpack = None
unread = b""


def say(text):
    data = text if isinstance(text, bytes) else text.encode()
    if pack:
        data = pack.compress(data) + pack.flush(zlib.Z_SYNC_FLUSH)
    wire.sendall(data)


def line():
    global unread
    while b"\r\n" not in unread:
        data = wire.recv(65536)
        if not data:
            raise EOFError(unread)
        unread += unpack.decompress(data) if unpack else data
    head, unread = unread.split(b"\r\n", 1)
    return head


def run(command, literal=None):
    said = []
    say(b"a " + command.encode() + b"\r\n" if literal is None else b"a %s {%d}\r\n" % (command.encode(), len(literal)))
    while True:
        said.append(line())
        if literal is not None and said[-1].startswith(b"+"):
            say(literal + b"\r\n")
        if said[-1].startswith(b"a "):
            assert said[-1].startswith(b"a OK"), said
            return said


line()
run(f"LOGIN {user} {password}")
run("COMPRESS DEFLATE")
pack, unpack = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)
capabilities = run("CAPABILITY")[0]
assert b"COMPRESS" not in capabilities, capabilities
body = b"Subject: deflated\r\n\r\n" + b"".join(b"line %d\r\n" % n for n in range(50000))
run("APPEND INBOX", body)
run("SELECT INBOX")
say("b FETCH 1 BODY.PEEK[]\r\n")
head = line()
assert head.endswith(b"{%d}" % len(body)), head
while len(unread) < len(body):
    unread += unpack.decompress(wire.recv(65536))
assert unread[: len(body)] == body
unread = unread[len(body) :]
assert line() == b")"
assert line().startswith(b"b OK")
said = run("UNAUTHENTICATE")
assert b"AUTH=" in said[-1], said
# The server's stream ends with its answer: zlib knows where.
assert unpack.eof and unpack.unused_data == b"", (unpack.eof, unpack.unused_data)
pack = unpack = None
run(f"LOGIN {user} {password}")
run("LOGOUT")
print("all is well")
