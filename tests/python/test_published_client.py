"""The published Python client, unchanged, against the simulator's second generation.

What the client parses, it checks: an answer that its models do not know fails here.
"""

import os
import time
import uuid

import pytest
from intuned_client import IntunedClient
from intuned_client.exceptions import (
    AuthenticationError,
    NotFoundError,
    ValidationError,
)

from canaries import API_KEY, PASSWORD, WRONG_API_KEY, WRONG_PASSWORD

PROJECT = "orange hrm/claims"
DEADLINE_SECONDS = 60


def connect(api_key: str) -> IntunedClient:
    return IntunedClient(
        api_key=api_key,
        workspace_id="a workspace",
        base_url=os.environ["SIMULATOR_URL"],
        timeout=30,
    )


@pytest.fixture(scope="module")
def client():
    with connect(API_KEY) as client:
        yield client


@pytest.fixture
def session_id() -> str:
    return str(uuid.uuid4())


def settled(ask, unsettled=("pending", "in_progress", "started")):
    """Asks until the answer is an end; answers every status that was seen, and the end."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    seen = []
    while time.monotonic() < deadline:
        answer = ask()
        if answer.status not in seen:
            seen.append(answer.status)
        if answer.status not in unsettled:
            return seen, answer
        time.sleep(0.05)
    raise AssertionError(f"not settled in time: {seen}")


def sign_in(client, session_id, username="Admin", password=PASSWORD):
    started = client.projects.auth_sessions.create.start(
        project_name=PROJECT,
        body={
            "id": session_id,
            "parameters": {"username": username, "password": password},
        },
    )
    assert started.status == "started"
    return settled(
        lambda: client.projects.auth_sessions.create.result(
            project_name=PROJECT, operation_id=started.operation_id
        )
    )


def run(client, session_id):
    started = client.projects.runs.start(
        project_name=PROJECT,
        body={
            "api": "get-claims",
            "parameters": {},
            "retry": {"maximumAttempts": 2},
            "authSession": {"id": session_id},
        },
    )
    assert started.status == "pending"
    seen, end = settled(
        lambda: client.projects.runs.result(
            project_name=PROJECT, run_id=started.run_id
        )
    )
    assert end.run_id == started.run_id
    return seen, end


def test_a_session_is_created_listed_used_and_deleted(client, session_id):
    seen, end = sign_in(client, session_id)
    assert seen == ["pending", "in_progress", "done"]
    assert end.auth_session_id == session_id

    sessions = client.projects.auth_sessions
    one = sessions.get(project_name=PROJECT, auth_session_id=session_id)
    assert (one.id, one.status, one.type) == (session_id, "READY", "CREDENTIALS")
    assert one in [
        type(one).model_validate(item.model_dump(by_alias=True))
        for item in sessions.list(project_name=PROJECT)
    ]

    seen, end = run(client, session_id)
    assert seen == ["pending", "started", "completed"]
    assert {"referenceId", "eventName", "currency", "status", "amount"} <= set(
        end.result[0]
    )

    sessions.delete(project_name=PROJECT, auth_session_id=session_id)
    with pytest.raises(NotFoundError):
        sessions.get(project_name=PROJECT, auth_session_id=session_id)
    with pytest.raises(NotFoundError):
        sessions.delete(project_name=PROJECT, auth_session_id=session_id)


@pytest.mark.parametrize(
    ("username", "password", "category"),
    [
        ("Admin", WRONG_PASSWORD, "auth"),
        ("rejected", PASSWORD, "auth"),
        # This generation has no way to ask the user.
        ("passcode", PASSWORD, "user"),
        ("choice", PASSWORD, "user"),
    ],
)
def test_a_sign_in_that_fails_says_why(
    client, session_id, username, password, category
):
    _, end = sign_in(client, session_id, username, password)
    assert end.status == "failed"
    assert end.error.category == category
    assert end.message == end.error.message
    with pytest.raises(NotFoundError):
        client.projects.auth_sessions.get(
            project_name=PROJECT, auth_session_id=session_id
        )


def test_a_session_is_validated_and_updated(client, session_id):
    sign_in(client, session_id)
    sessions = client.projects.auth_sessions

    started = sessions.validate.start(
        project_name=PROJECT, auth_session_id=session_id, body={}
    )
    assert started.status == "pending"
    seen, end = settled(
        lambda: sessions.validate.result(
            project_name=PROJECT,
            auth_session_id=session_id,
            operation_id=started.operation_id,
        )
    )
    assert seen == ["pending", "in_progress", "done"]
    assert end.auth_session_id == session_id

    updated = sessions.update.start(
        project_name=PROJECT,
        auth_session_id=session_id,
        body={"parameters": {"username": "Admin", "password": PASSWORD}},
    )
    assert updated.status == "started"
    _, end = settled(
        lambda: sessions.update.result(
            project_name=PROJECT,
            auth_session_id=session_id,
            operation_id=updated.operation_id,
        )
    )
    assert (end.status, end.auth_session_id) == ("done", session_id)


def test_a_start_that_another_one_replaces_is_canceled(client, session_id):
    def start():
        return client.projects.auth_sessions.create.start(
            project_name=PROJECT,
            body={
                "id": session_id,
                "parameters": {"username": "Admin", "password": PASSWORD},
            },
        )

    earlier, _ = start(), start()
    end = client.projects.auth_sessions.create.result(
        project_name=PROJECT, operation_id=earlier.operation_id
    )
    assert (end.status, end.reason.type) == ("canceled", "terminated")


def test_an_expired_session_fails_the_run(client, session_id):
    sign_in(client, session_id, "expires")
    sessions = client.projects.auth_sessions
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        one = sessions.get(project_name=PROJECT, auth_session_id=session_id)
        if one.status == "EXPIRED":
            break
        time.sleep(0.05)
    _, end = run(client, session_id)
    assert (end.status, end.error.category) == ("failed", "auth")


def test_a_wrong_key_is_refused(session_id):
    with (
        connect(WRONG_API_KEY) as stranger,
        pytest.raises(AuthenticationError) as refusal,
    ):
        stranger.projects.auth_sessions.list(project_name=PROJECT)
    assert refusal.value.status_code == 401


def test_an_id_that_is_none_is_refused(client):
    with pytest.raises(ValidationError) as refusal:
        sign_in(client, "not an id")
    assert refusal.value.status_code == 400


def test_what_is_unknown_is_not_found(client, session_id):
    with pytest.raises(NotFoundError):
        client.projects.auth_sessions.create.result(
            project_name=PROJECT, operation_id=session_id
        )
    with pytest.raises(NotFoundError):
        client.projects.runs.result(project_name=PROJECT, run_id=session_id)
