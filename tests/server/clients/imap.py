"""imaplib against the server: imap.py PORT TLS_PORT CERTIFICATE. Ends with 0 when every answer was right."""

import imaplib
import ssl
import sys

HOST, USER, PASSWORD = "127.0.0.1", "alice@example.test", "mailwright"
PORT, TLS_PORT, CERTIFICATE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

TEXT = b"\r\n".join([
    b"From: Sender <sender@example.net>", b"To: alice@example.test", b"Subject: the first",
    b"Message-ID: <first@example.net>", b"MIME-Version: 1.0",
    b"Content-Type: multipart/mixed; boundary=cut", b"",
    b"--cut", b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit", b"",
    "Grüße und Küsse".encode(), b".", b"..", b"--cut",
    b"Content-Type: application/octet-stream; name=x.bin", b"Content-Transfer-Encoding: base64", b"",
    b"AAECAwQ=", b"--cut--", b""])
SECOND = b"Subject: the second\r\nMessage-ID: <second@example.net>\r\n\r\nnothing\r\n"


def trusting():
    context = ssl.create_default_context(cafile=CERTIFICATE)
    context.check_hostname = False
    return context


def same(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def flags(data):
    """What is stored; \\Recent is a fact of the session."""
    return sorted(flag for flag in imaplib.ParseFlags(data) if flag != b"\\Recent")


def ok(answer):
    same(answer[0], "OK")
    return answer[1]


def plain():
    return imaplib.IMAP4(HOST, PORT)


def starttls():
    imap = imaplib.IMAP4(HOST, PORT)
    ok(imap.starttls(trusting()))
    return imap


def implicit():
    return imaplib.IMAP4_SSL(HOST, TLS_PORT, ssl_context=trusting())


def refused(connect):
    imap = connect()
    try:
        imap.login(USER, "wrong")
    except imaplib.IMAP4.error:
        imap.logout()
        return
    raise AssertionError("a wrong password was taken")


def session(connect, box):
    imap = connect()
    if box == "plain":
        ok(imap.login(USER, PASSWORD))
    else:
        ok(imap.authenticate("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode()))
    same(imap.state, "AUTH")
    ok(imap.create(box))
    same(imap.select("nowhere")[0], "NO")
    same(ok(imap.select(box)), [b"0"])
    ok(imap.append(box, r"(\Seen $Label1)", '"17-Jul-1996 02:44:25 -0700"', TEXT))
    ok(imap.append(box, None, None, SECOND))
    ok(imap.noop())
    same(imap.response("EXISTS")[1][-1], b"2")

    same(ok(imap.search(None, "ALL")), [b"1 2"])
    same(ok(imap.search(None, "SUBJECT", '"second"')), [b"2"])
    same(ok(imap.search(None, "SEEN", "KEYWORD", "$Label1")), [b"1"])
    same(ok(imap.search(None, "HEADER", "Message-ID", "first@example")), [b"1"])
    same(ok(imap.search(None, "SINCE", "1-Jan-2020")), [b"2"])
    imap.literal = "KÜSSE".encode()
    same(ok(imap.search("UTF-8", "TEXT")), [b"1"])

    same(ok(imap.fetch("1", "(RFC822)"))[0][1], TEXT)
    same(ok(imap.fetch("2", "(BODY.PEEK[]<0.10>)"))[0][1], SECOND[:10])
    same(ok(imap.fetch("1", "(BODY.PEEK[2])"))[0][1], b"AAECAwQ=")
    structure = ok(imap.fetch("1", "(BODYSTRUCTURE)"))[0]
    assert b'"MIXED"' in structure.upper() and b'"OCTET-STREAM"' in structure.upper(), structure
    data = ok(imap.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE UID)"))[0]
    same(flags(data), [b"$Label1", b"\\Seen"])
    assert b'"17-Jul-1996 02:44:25 -0700"' in data and b"RFC822.SIZE %d" % len(TEXT) in data, data
    assert b'"the first"' in data and b"<first@example.net>" in data, data

    stored = ok(imap.store("2", "+FLAGS", r"(\Flagged \Answered)"))[0]
    same(flags(stored), [b"\\Answered", b"\\Flagged"])
    stored = ok(imap.store("2", "-FLAGS", r"(\Answered)"))[0]
    same(flags(stored), [b"\\Flagged"])

    ok(imap.create(box + "/below"))
    same(imap.copy("1", "nowhere")[0], "NO")
    ok(imap.copy("1:2", box + "/below"))
    ok(imap.store("1", "+FLAGS", r"\Deleted"))
    same(ok(imap.expunge()), [b"1"])
    same(ok(imap.search(None, "ALL")), [b"1"])
    same(ok(imap.uid("SEARCH", "ALL")), [b"2"])
    ok(imap.close())

    same(ok(imap.select(box + "/below", readonly=True)), [b"2"])
    same(ok(imap.fetch("1", "(RFC822)"))[0][1], TEXT)
    same(flags(ok(imap.fetch("2", "(FLAGS)"))[0]), [b"\\Flagged"])
    ok(imap.unselect())
    status = ok(imap.status(box + "/below", "(MESSAGES UIDNEXT UNSEEN)"))[0]
    assert b"MESSAGES 2" in status and b"UIDNEXT 3" in status and b"UNSEEN 1" in status, status

    ok(imap.rename(box, box + "-new"))
    names = b"\n".join(ok(imap.list()))
    assert f"{box}-new/below".encode() in names, names
    ok(imap.subscribe(box + "-new"))
    assert f"{box}-new".encode() in b"\n".join(ok(imap.lsub()))
    ok(imap.delete(box + "-new/below"))
    ok(imap.unsubscribe(box + "-new"))
    ok(imap.delete(box + "-new"))
    same(imap.select(box + "-new")[0], "NO")
    same(imap.logout()[0], "BYE")


for way in (plain, starttls, implicit):
    refused(way)
    session(way, way.__name__)
