"""Step 03 from an empty file, in another language: the checker must judge it by its bytes alone.

    make check-03 CMD="python3 pkg/check/testdata/any.py"

With MISTAKE=split it takes every Read for whole commands, as people do.
"""
import os
import socket
import threading

MISTAKE = os.environ.get("MISTAKE", "")
data, lock = {}, threading.Lock()


class ProtocolError(Exception):
    pass


def bulk(b):
    return b"$-1\r\n" if b is None else b"$%d\r\n%b\r\n" % (len(b), b)


def line(buf, at):
    """Returns the line that begins at at and where the next begins, or None if it is not whole."""
    end = buf.find(b"\n", at)
    if end < 0:
        return None, at
    return bytes(buf[at:end]).rstrip(b"\r"), end + 1


def length(text, error, low, high):
    if not text.lstrip(b"-").isdigit() or not low <= int(text) <= high:
        raise ProtocolError(error)
    return int(text)


def command(buf):
    """Takes a command from the start of buf. Returns its arguments, or None if it is not whole."""
    head, at = line(buf, 0)
    if head is None:
        return None
    if not head.startswith(b"*"):
        del buf[:at]
        return head.split()
    args = []
    for _ in range(max(0, length(head[1:], b"invalid multibulk length", -(1 << 31), (1 << 31) - 1))):
        head, at = line(buf, at)
        if head is None:
            return None
        if not head.startswith(b"$"):
            raise ProtocolError(b"expected '$', got '%b'" % head[:1])
        n = length(head[1:], b"invalid bulk length", 0, 512 << 20)
        if len(buf) < at + n + 2:
            return None
        args.append(bytes(buf[at:at + n]))
        at += n + 2
    del buf[:at]
    return args


def increment(key):
    old = data.get(key, b"0")
    try:
        n = int(old)
    except ValueError:
        n = None
    if n is None or str(n).encode() != old or not -(1 << 63) <= n < 1 << 63:
        return b"-ERR value is not an integer or out of range\r\n"
    if n + 1 >= 1 << 63:
        return b"-ERR increment or decrement would overflow\r\n"
    data[key] = str(n + 1).encode()
    return b":%d\r\n" % (n + 1)


def ping(*words):
    if len(words) > 1:
        return b"-ERR wrong number of arguments for 'ping' command\r\n"
    return bulk(words[0]) if words else b"+PONG\r\n"


def put(key, value, *options):
    if options:
        return b"-ERR syntax error\r\n"
    data[key] = value
    return b"+OK\r\n"


COMMANDS = {  # arity as Redis counts: with the name, negative for a minimum
    b"PING": (-1, ping),
    b"QUIT": (-1, lambda *a: b"+OK\r\n"),
    b"ECHO": (2, bulk),
    b"COMMAND": (-1, lambda *a: b"*0\r\n"),
    b"SET": (-3, put),
    b"GET": (2, lambda k: bulk(data.get(k))),
    b"DEL": (-2, lambda *ks: b":%d\r\n" % sum(data.pop(k, None) is not None for k in ks)),
    b"EXISTS": (-2, lambda *ks: b":%d\r\n" % sum(k in data for k in ks)),
    b"INCR": (2, increment),
}


def execute(args):
    arity, run = COMMANDS.get(args[0].upper(), (0, None))
    if run is None:
        rest = b"".join(b"'%b' " % a for a in args[1:])
        return b"-ERR unknown command '%b', with args beginning with: %b\r\n" % (args[0], rest)
    if len(args) != arity and (arity >= 0 or len(args) < -arity):
        return b"-ERR wrong number of arguments for '%b' command\r\n" % args[0].lower()
    with lock:
        return run(*args[1:])


def answer(conn, buf):
    """Answers the whole commands in buf. Says whether the conversation goes on."""
    replies = bytearray()
    try:
        while buf and (args := command(buf)) is not None:
            if not args:
                continue
            replies += execute(args)
            if args[0].upper() == b"QUIT":
                return False
            if len(replies) > 64 << 10:
                conn.sendall(replies)
                replies.clear()
    except ProtocolError as e:
        replies += b"-ERR Protocol error: " + e.args[0] + b"\r\n"
        return False
    finally:
        conn.sendall(replies)
    return True


def serve(conn):
    buf = bytearray()
    with conn:
        try:
            while chunk := conn.recv(1 << 16):
                if MISTAKE == "split":
                    buf.clear()
                buf += chunk
                if not answer(conn, buf):
                    return
        except OSError:
            pass  # the client has gone


listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=500)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
