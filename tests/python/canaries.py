"""What the tests send that must stay secret, and the sieve for it.

    canaries.py FILE...    fails when one of these secrets stands in one of the files
"""

import os
import re
import sys
from pathlib import Path

PASSWORD = "admin123"
WRONG_PASSWORD = "canary-orangehrm-91c4"
API_KEY = os.environ.get("SIMULATOR_API_KEY", "canary-api-key-6f1d")
WRONG_API_KEY = "canary-api-key-e07a"

# A line by which the simulator names the accounts that there are to try.
GREETING = re.compile(
    rb"^\S+ +INFO intuned_gateway::app::commands: demo account: .*$", re.MULTILINE
)

SECRETS = {
    "an OrangeHRM password": PASSWORD,
    "a wrong OrangeHRM password": WRONG_PASSWORD,
    "Intuned's API key": API_KEY,
    "a wrong API key": WRONG_API_KEY,
}


def leaks(place: str, content: bytes) -> list[str]:
    """Each secret that stands there, in words that do not repeat it."""
    content = GREETING.sub(b"", content)
    return [
        f"{kind} in {place}"
        for kind, secret in SECRETS.items()
        if secret.encode() in content
    ]


def main(names: list[str]) -> str | None:
    found = [leak for name in names for leak in leaks(name, Path(name).read_bytes())]
    return "secrets leaked: " + "; ".join(found) if found else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
