"""What is found must be findable: a sieve with a hole would pass everything."""

import pytest

import canaries


@pytest.mark.parametrize(("kind", "secret"), canaries.SECRETS.items())
def test_a_secret_is_found_and_not_repeated(tmp_path, kind, secret):
    log = tmp_path / "log"
    log.write_bytes(b"\xff INFO key=" + secret.encode() + b"\n")
    message = canaries.main([str(log)])
    assert message == f"secrets leaked: {kind} in {log}"


def test_what_is_no_secret_is_not_taken_for_one(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "2026-11-21T10:00:00Z  INFO intuned_gateway::app::commands: demo account: "
        'connects username="Admin" demo_password="admin123"\n'
        "2026-11-21T10:00:00Z  INFO a request path=/api/v1/workspace status=401\n"
    )
    assert canaries.main([str(log)]) is None
