"""Signs and verifies with dkimpy, another implementation of DKIM and ARC: one request as JSON on stdin, the answer on stdout.

The DNS is a table in the request: names in lower case with their dot at the end, and texts.
"""
import base64, json, sys

import dkim

request = json.load(sys.stdin)
message = base64.b64decode(request["message"])
records = {name.encode(): text.encode() for name, text in request.get("dns", {}).items()}


def text(name, timeout=5):
    return records.get(name.lower() if isinstance(name, bytes) else name.lower().encode())


def key():
    return request["key"].encode()


def verified(n):
    try:
        return dkim.DKIM(message).verify(idx=n, dnsfunc=text)
    except dkim.DKIMException:
        return False


match request["do"]:
    case "verify":
        # Of all signatures, each for itself.
        lines = [line for line in message.split(b"\r\n\r\n")[0].split(b"\r\n") if line.lower().startswith(b"dkim-signature:")]
        print(json.dumps([verified(n) for n in range(len(lines))]))
    case "sign":
        signature = dkim.sign(
            message, request["selector"].encode(), request["domain"].encode(), key(),
            canonicalize=tuple(c.encode() for c in request.get("canonicalize", ["relaxed", "relaxed"])),
            signature_algorithm=request.get("algorithm", "rsa-sha256").encode(),
            include_headers=[h.encode() for h in request["headers"]] if "headers" in request else None,
            length=request.get("length", False))
        print(json.dumps(signature.decode()))
    case "arc_verify":
        cv, results, reason = dkim.arc_verify(message, dnsfunc=text)
        print(json.dumps([cv.decode() if isinstance(cv, bytes) else str(cv), str(reason)]))
    case "arc_sign":
        lines = dkim.arc_sign(
            message, request["selector"].encode(), request["domain"].encode(), key(), request["host"].encode(),
            timestamp="1700000000")
        print(json.dumps(b"".join(lines).decode()))
