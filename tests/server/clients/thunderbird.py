"""Drives Thunderbird by its Marionette: thunderbird.py PROFILE, a JavaScript body on stdin. Prints what it returns, as JSON.

The script runs with all that Thunderbird's own code may do. Thunderbird ends afterwards.
"""

import json
import pathlib
import socket
import sys
import time

PATIENCE = 60


def connect(profile):
    """Thunderbird writes down which port it has taken."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            port = int(pathlib.Path(profile, "MarionetteActivePort").read_text())
            return socket.create_connection(("127.0.0.1", port))
        except (OSError, ValueError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class Marionette:
    """Messages are `length:json`; a command is [0, id, name, parameters], its answer [1, id, error, result]."""

    def __init__(self, profile):
        self.socket, self.number = connect(profile), 0
        self.socket.settimeout(2 * PATIENCE)
        self.file = self.socket.makefile("rb")
        self.read()

    def read(self):
        length = b""
        while not length.endswith(b":"):
            length += self.file.read(1) or sys.exit("Thunderbird is gone")
        return json.loads(self.file.read(int(length[:-1])))

    def call(self, name, **parameters):
        self.number += 1
        text = json.dumps([0, self.number, name, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(text), text))
        _, _, error, result = self.read()
        if error:
            sys.exit(f"{name}: {error}")
        return result


thunderbird = Marionette(sys.argv[1])
thunderbird.call("WebDriver:NewSession", capabilities={"timeouts": {"script": 2 * PATIENCE * 1000}})
thunderbird.call("Marionette:SetContext", value="chrome")
body = "const done = arguments[0]; (async () => {" + sys.stdin.read() + "})().then(value => done({ value }), e => done({ error: `${e}\\n${e.stack}` }));"
answer = thunderbird.call("WebDriver:ExecuteAsyncScript", script=body, args=[])["value"]
thunderbird.call("Marionette:Quit", flags=["eForceQuit"])
if "error" in answer:
    sys.exit(answer["error"])
print(json.dumps(answer["value"]))
