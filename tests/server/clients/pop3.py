"""poplib against the server: pop3.py PORT TLS_PORT CERTIFICATE. The maildrop of alice has five messages, `number N` in
each. Ends with 0 when every answer was right."""

import poplib
import ssl
import sys

HOST, USER, PASSWORD = "127.0.0.1", "alice@example.test", "mailwright"
PORT, TLS_PORT, CERTIFICATE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def trusting():
    context = ssl.create_default_context(cafile=CERTIFICATE)
    context.check_hostname = False
    return context


def same(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def plain():
    return poplib.POP3(HOST, PORT)


def starttls():
    pop = poplib.POP3(HOST, PORT)
    pop.stls(trusting())
    return pop


def implicit():
    return poplib.POP3_SSL(HOST, TLS_PORT, context=trusting())


def refused(action, *arguments):
    try:
        action(*arguments)
    except poplib.error_proto as error:
        assert error.args[0].startswith(b"-ERR"), error
        return
    raise AssertionError(f"{action.__name__} {arguments} was not refused")


def log_in(connect):
    pop = connect()
    pop.user(USER)
    pop.pass_(PASSWORD)
    return pop


left = 5
for way in (plain, starttls, implicit):
    pop = way()
    pop.user(USER)
    refused(pop.pass_, "wrong")
    pop.quit()

    pop = log_in(way)
    assert "UIDL" in pop.capa() and "TOP" in pop.capa()
    count, size = pop.stat()
    same(count, left)
    _, listing, _ = pop.list()
    same(len(listing), left)
    same(sum(int(line.split()[1]) for line in listing), size)
    same(pop.list(1).split()[1:], listing[0].split())
    _, ids, _ = pop.uidl()
    same(len({line.split()[1] for line in ids}), left)
    same(pop.uidl(2).split()[1:], ids[1].split())

    _, lines, octets = pop.retr(1)
    same(octets, int(listing[0].split()[1]))
    body = lines[lines.index(b"") + 1:]
    same(body, [b"number %d" % (6 - left), b".", b"..two", "Grüße".encode()])
    _, top, _ = pop.top(1, 1)
    same(top[:-1], lines[:lines.index(b"") + 1])
    same(top[-1], body[0])

    refused(pop.retr, left + 1)
    refused(pop.dele, 0)
    pop.dele(1)
    refused(pop.retr, 1)
    refused(pop.dele, 1)
    same(pop.stat()[0], left - 1)
    pop.rset()
    same(pop.stat()[0], left)
    pop.noop()
    pop.dele(1)
    pop.close()

    # Closed without QUIT: nothing was deleted.
    pop = log_in(way)
    same(pop.stat()[0], left)
    pop.dele(1)
    pop.quit()
    left -= 1

pop = log_in(implicit)
same(pop.stat()[0], left)
pop.quit()
