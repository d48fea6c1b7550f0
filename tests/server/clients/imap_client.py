"""IMAPClient against the server: imap_client.py LIBRARY PORT TLS_PORT CERTIFICATE. Ends with 0 when every answer was right."""

import datetime
import ssl
import sys

sys.path.insert(0, sys.argv[1])
from imapclient import DELETED, FLAGGED, SEEN, IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

HOST, USER, PASSWORD = "localhost", "alice@example.test", "mailwright"
PORT, TLS_PORT = int(sys.argv[2]), int(sys.argv[3])
CONTEXT = ssl.create_default_context(cafile=sys.argv[4])
BOX = "Entw\u00fcrfe & mehr/\u65e5\u672c\u8a9e \U0001f600"
DATE = datetime.datetime(2023, 2, 3, 4, 5, 6, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30)))


def message(number):
    return (f"From: J\u00f6rg <a@example.net>\r\nSubject: number {number}\r\nMessage-ID: <{number}@x>\r\n\r\n"
            f"body {number}\r\n").encode()


def same(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def starttls():
    imap = IMAPClient(HOST, PORT, ssl=False, timeout=20)
    imap.starttls(CONTEXT)
    return imap


def implicit():
    return IMAPClient(HOST, TLS_PORT, ssl=True, ssl_context=CONTEXT, timeout=20)


def flags_of(imap, uids):
    """\\Recent is a fact of the session."""
    return {uid: sorted(set(flags) - {b"\\Recent"}) for uid, flags in imap.get_flags(uids).items()}


def session(connect):
    imap, other = connect(), connect()
    try:
        imap.login(USER, "wrong")
        raise AssertionError("a wrong password was taken")
    except LoginError:
        pass
    imap.plain_login(USER, PASSWORD)
    other.login(USER, PASSWORD)
    for name in ("IDLE", "MOVE", "UIDPLUS", "NAMESPACE", "CONDSTORE", "SPECIAL-USE"):
        assert imap.has_capability(name), name
    imap.id_({"name": "test"})
    same(imap.namespace().personal, (("", "/"),))
    for use, name in ((b"\\Sent", "Sent"), (b"\\Trash", "Trash"), (b"\\Junk", "Junk"), (b"\\Drafts", "Drafts")):
        same(imap.find_special_folder(use), name)

    imap.create_folder(BOX)
    assert imap.folder_exists(BOX)
    try:
        imap.create_folder(BOX)
        raise AssertionError("a folder was made twice")
    except IMAPClientError:
        pass
    imap.subscribe_folder(BOX)
    assert BOX in [name for _, _, name in imap.list_sub_folders()]
    for number in range(1, 6):
        imap.append(BOX, message(number), flags=(SEEN,) if number == 1 else ("work",), msg_time=DATE)

    selected = imap.select_folder(BOX)
    same((selected[b"EXISTS"], selected[b"UIDNEXT"], b"READ-WRITE" in selected), (5, 6, True))
    assert b"work" in selected[b"FLAGS"]
    fetched = imap.fetch([1, 2], ["RFC822", "FLAGS", "INTERNALDATE", "ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE"])
    same(fetched[1][b"RFC822"], message(1))
    same(fetched[1][b"RFC822.SIZE"], len(message(1)))
    same(fetched[1][b"INTERNALDATE"].timestamp(), DATE.timestamp())
    same(fetched[2][b"ENVELOPE"].subject, b"number 2")
    same(fetched[1][b"BODYSTRUCTURE"][:2], (b"text", b"plain") if fetched[1][b"BODYSTRUCTURE"][0] == b"text" else (b"TEXT", b"PLAIN"))
    same(imap.fetch([3], ["BODY.PEEK[TEXT]<0.4>"])[3][b"BODY[TEXT]<0>"], b"body")

    same(imap.search(["SUBJECT", "number", "UID", "2:4"]), [2, 3, 4])
    same(imap.search([b"KEYWORD", b"work", b"NOT", b"SEEN"]), [3, 4, 5])
    same(imap.search(["FROM", "J\u00f6rg"], charset="UTF-8"), [1, 2, 3, 4, 5])
    if imap.has_capability("SORT"):
        same(imap.sort("REVERSE SUBJECT"), [5, 4, 3, 2, 1])
    imap.add_flags([3], [FLAGGED, "h\u00f6her".encode("utf-7").decode()])
    imap.remove_flags([3], ["work"])
    assert FLAGGED in flags_of(imap, [3])[3] and b"work" not in flags_of(imap, [3])[3]
    imap.set_flags([4], [SEEN])
    same(flags_of(imap, [4]), {4: [SEEN]})

    # Another session appends while this one idles.
    imap.idle()
    other.append(BOX, message(6))
    seen = []
    while (6, b"EXISTS") not in seen:
        seen += imap.idle_check(timeout=20) or [None]
        assert None not in seen, seen
    imap.idle_done()

    imap.create_folder("There")
    imap.copy([1, 2], "There")
    imap.move([3], "There")
    same(imap.search(), [1, 2, 4, 5, 6])
    imap.delete_messages([4])
    imap.uid_expunge([4])
    imap.add_flags([5], [DELETED])
    imap.expunge()
    same(imap.search(), [1, 2, 6])
    same(imap.folder_status("There", ["MESSAGES", "UIDNEXT", "UNSEEN"]), {b"MESSAGES": 3, b"UIDNEXT": 4, b"UNSEEN": 1})
    imap.unselect_folder()
    assert b"READ-ONLY" in imap.select_folder("There", readonly=True)
    same([imap.fetch([uid], ["RFC822"])[uid][b"RFC822"] for uid in (1, 2, 3)], [message(n) for n in (1, 2, 3)])
    imap.close_folder()
    imap.rename_folder(BOX, "New \u00e4")
    assert imap.folder_exists("New \u00e4") and not imap.folder_exists(BOX)
    imap.delete_folder("New \u00e4")
    imap.delete_folder("There")
    imap.unsubscribe_folder(BOX)
    imap.logout()
    other.logout()


for way in (starttls, implicit):
    session(way)
