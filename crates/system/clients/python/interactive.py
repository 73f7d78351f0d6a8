"""redis-cli at a terminal: a prompt, replies, help for what is typed, hints while it is typed. interactive.py PORT"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

LIMIT = 20  # seconds for any answer
port = sys.argv[1]
prompt = f"127.0.0.1:{port}> "


def clean(data):
    """What a terminal shows: without the sequences that move its cursor and colour its text."""
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", data).decode(errors="replace")


def until(wanted, what):
    """Reads until `wanted` is shown behind what was read before."""
    begun, data = time.monotonic(), b""
    while not wanted(clean(data)):
        left = begun + LIMIT - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            sys.exit(f"waited in vain for {what}: {clean(data)!r}")
        data += os.read(terminal, 65536)
    return clean(data)


def say(line):
    os.write(terminal, line.encode() + b"\r")
    # The line is shown again while it is typed, so the prompt is awaited on a line of its own.
    return until(lambda shown: shown.endswith("\n" + prompt) or f"\r{prompt}" in shown.split("\n")[-1] and "\n" in shown, line)


pid, terminal = pty.fork()
if pid == 0:
    # A terminal without a size is asked where its cursor is.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.environ["TERM"] = "xterm"
    os.execvp("redis-cli", ["redis-cli", "-p", port])
try:
    until(lambda shown: prompt in shown, "the prompt")
    assert '\\"id\\":42' in (shown := say("GET product:42")), shown
    assert "PONG" in (shown := say("PING")), shown
    assert "unknown command 'NOSUCH'" in (shown := say("NOSUCH x")), shown
    shown = say("help GET")
    assert "summary: " in shown and "GET key" in shown, shown
    # A hint stands behind the cursor while the command is typed.
    os.write(terminal, b"EXPIRE ")
    shown = until(lambda shown: "key seconds" in shown, "a hint")
    os.write(terminal, b"product:42 100\r")
    until(lambda shown: "(integer)" in shown, "its answer")
    os.write(terminal, b"quit\r")
finally:
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
print("fine")
