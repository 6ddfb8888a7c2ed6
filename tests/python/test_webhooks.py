"""Webhooks of the gateway, checked by the package that the Standard Webhooks specification has for Python."""

import base64
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from canaries import PASSWORD

BINARY = os.environ.get("GATEWAY_BIN", "target/debug/intuned-gateway")
DEADLINE_SECONDS = 60
TEXT = "canary-plain-secret-of-32-bytes-or-more"
LONG_TEXT = TEXT * 2


def encoded(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


SECRETS = [
    encoded(b"k" * 24),
    encoded(b"k" * 64),
    encoded(b"k" * 32),
    encoded(b"l" * 32).rstrip("="),
]


class Receiver:
    def __init__(self):
        received = self.received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append((dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def first(self):
        return until("a webhook has come", lambda: self.received and self.received[0])


def until(what, look):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(folder, secret: str, receiver: Receiver, port: int) -> subprocess.Popen:
    return subprocess.Popen(
        [os.path.abspath(BINARY)],
        cwd=folder,
        env={
            "DEMO": "true",
            "LISTEN_ADDR": f"127.0.0.1:{port}",
            "DATABASE_URL": "sqlite:gateway.sqlite",
            "INTUNED_POLL_INTERVAL": "20ms",
            "SIMULATOR_DELAY_SCALE": "0",
            "WEBHOOK_ALLOW_PRIVATE": "true",
            "WEBHOOK_SECRET": secret,
            "WEBHOOK_URL": receiver.url,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask(port: int, query: str, token: str | None = None):
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        headers,
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        return json.load(answer)["data"]


def is_ready(port: int, gateway: subprocess.Popen) -> bool:
    if gateway.poll() is not None:
        raise AssertionError(gateway.stderr.read())
    try:
        url = f"http://127.0.0.1:{port}/health/ready"
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def delivery(folder, secret: str):
    """A webhook of a gateway that has this secret."""
    receiver, port = Receiver(), free_port()
    gateway = start(folder, secret, receiver, port)
    try:
        until("the gateway is ready", lambda: is_ready(port, gateway))
        sign_up = 'mutation { signUp(input: {email: "ada@example.com", password: "correct horse battery"}) { token } }'
        token = ask(port, sign_up)["signUp"]["token"]
        connect = f'mutation {{ connectOrangeHrm(input: {{username: "Admin", password: "{PASSWORD}"}}) {{ operation {{ id }} }} }}'
        ask(port, connect, token)
        return receiver.first()
    finally:
        gateway.terminate()
        gateway.communicate(timeout=DEADLINE_SECONDS)


def refusal(folder, secret: str) -> str:
    """What a gateway says that does not take this secret."""
    gateway = start(folder, secret, Receiver(), free_port())
    said = gateway.communicate(timeout=DEADLINE_SECONDS)[1]
    assert gateway.returncode == 2, said
    assert "canary" not in said
    return said


def test_each_secret_checks_what_all_of_them_sign(tmp_path):
    headers, body = delivery(tmp_path, ", ".join(SECRETS))
    for secret in SECRETS:
        told = Webhook(secret).verify(body, headers)
        assert told["type"] == "connection.created"
    with pytest.raises(WebhookVerificationError):
        Webhook(encoded(b"m" * 32)).verify(body, headers)


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        (TEXT, TEXT.encode()),
        (LONG_TEXT, LONG_TEXT.encode()),
        (encoded(LONG_TEXT.encode()), LONG_TEXT.encode()),
    ],
    ids=["a text", "a long text", "a long key"],
)
def test_what_is_refused_comes_with_a_command_for_what_signs_alike(tmp_path, secret, key):
    command = refusal(tmp_path, secret).split("printed by: ")[1].splitlines()[0]
    environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret}
    mended = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    headers, body = delivery(tmp_path, mended.stdout.strip())
    Webhook(key).verify(body, headers)
