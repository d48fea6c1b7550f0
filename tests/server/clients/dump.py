"""All that a server has by IMAP, as JSON: dump.py tunnel COMMAND, or dump.py imaps PORT. Each mailbox by its name, with its
messages in order: what they are, their flags and keywords, and when they were received.

mbsync leaves a line X-TUID in the header of what it copies; it is not counted. A NUL is 0x80 here: that is what Dovecot sends
in its place, as IMAP has no word for it.
"""

import hashlib
import imaplib
import json
import re
import ssl
import sys
import time

imaplib._MAXLINE = 1 << 24


def connect(way, place):
    if way == "tunnel":
        return imaplib.IMAP4_stream(place)
    context = ssl._create_unverified_context()
    imap = imaplib.IMAP4_SSL("127.0.0.1", int(place), ssl_context=context)
    imap.login("alice@example.test", "mailwright")
    return imap


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


def names(imap):
    for line in ok(imap.list()):
        if isinstance(line, tuple):
            attributes, name = line[0], line[1]
        else:
            attributes, name = line, re.search(rb'\) "?/"? (.*)$', line)[1]
            if name.startswith(b'"'):
                name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
        if rb"\noselect" not in attributes.lower() and rb"\nonexistent" not in attributes.lower():
            yield name.decode()


def messages(imap, name):
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    count = int(ok(imap.select(quoted, readonly=True))[0])
    found = []
    for data in ok(imap.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")) if count else []:
        if not isinstance(data, tuple):
            continue
        head, message = data
        lines = [line for line in message.replace(b"\0", b"\x80").split(b"\n") if not line.startswith(b"X-TUID: ")]
        flags = sorted({flag.decode().lower() for flag in imaplib.ParseFlags(head)} - {r"\recent"})
        date = time.mktime(imaplib.Internaldate2tuple(head))
        found.append([hashlib.sha256(b"\n".join(lines)).hexdigest(), len(b"\n".join(lines)), flags, date])
    assert len(found) == count, (name, len(found), count)
    return found


imap = connect(*sys.argv[1:])
print(json.dumps({name: messages(imap, name) for name in list(names(imap))}))
