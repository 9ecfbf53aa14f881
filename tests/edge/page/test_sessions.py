"""Sessions: when they begin and end, and what of them is on the disk."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_inspect.edge.page.passwords import PasswordHash
from edge_inspect.edge.page.sessions import Sessions, csrf_token
from edge_inspect.edge.page.users import User

ANNA = User("anna", "operator", PasswordHash.of("a password", log_n=4))
HOUR = 3600.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


def get_anna(name: str) -> User | None:
    return ANNA if name == ANNA.name else None


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_sessions(folder: Path, clock: Clock) -> Sessions:
    return Sessions(folder / "sessions.json", 12 * HOUR, 2 * HOUR, clock)


def test_tokens_are_random_and_only_their_hash_is_kept(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path, clock)
    tokens = {sessions.begin(ANNA) for _ in range(10)}
    assert len(tokens) == 10
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in tokens)
    file = tmp_path / "sessions.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any(token in file.read_text() or csrf_token(token) in file.read_text() for token in tokens)


def test_a_session_ends_when_idle_and_at_the_latest_after_its_hours(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path, clock)
    idle, busy = sessions.begin(ANNA), sessions.begin(ANNA)
    clock.now += 1.9 * HOUR
    assert sessions.find(busy, get_anna) == ANNA
    clock.now += 0.2 * HOUR
    assert sessions.find(idle, get_anna) is None
    while clock.now < 1.7e9 + 12 * HOUR:
        assert sessions.find(busy, get_anna) == ANNA
        clock.now += HOUR
    assert sessions.find(busy, get_anna) is None
    assert len(sessions) == 0


def test_a_look_that_is_no_use_does_not_put_off_the_end(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path, clock)
    token = sessions.begin(ANNA)
    for _ in range(3):
        clock.now += 0.6 * HOUR
        assert sessions.find(token, get_anna, used=False) == ANNA
    clock.now += 0.3 * HOUR
    assert sessions.find(token, get_anna, used=False) is None


@pytest.mark.parametrize("token", ["", "A" * 43, "A" * 64, "A" * 65, "A" * 10**6, "é", "\x00", "\ud800"])
def test_another_token_opens_nothing(tmp_path: Path, clock: Clock, token: str) -> None:
    sessions = open_sessions(tmp_path, clock)
    sessions.begin(ANNA)
    assert sessions.find(token, get_anna) is None


def test_the_hash_of_a_token_is_no_token(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path, clock)
    sessions.begin(ANNA)
    (key,) = json.loads((tmp_path / "sessions.json").read_text())
    assert sessions.find(key, get_anna) is None


def test_a_restart_keeps_sessions_and_the_time_of_their_last_use(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path, clock)
    token, ended = sessions.begin(ANNA), sessions.begin(ANNA)
    sessions.end(ended)
    clock.now += 1.5 * HOUR
    assert sessions.find(token, get_anna) == ANNA
    assert sessions.is_due
    sessions.save()
    assert not sessions.is_due
    clock.now += 1.5 * HOUR
    again = open_sessions(tmp_path, clock)
    assert again.find(token, get_anna) == ANNA and again.find(ended, get_anna) is None


@pytest.mark.parametrize(
    "changed",
    [ANNA._replace(role="engineer"), ANNA._replace(password=PasswordHash.of("a password", log_n=4)), None],
)
def test_a_user_who_changed_or_is_gone_loses_the_session_for_good(
    tmp_path: Path, clock: Clock, changed: User | None
) -> None:
    sessions = open_sessions(tmp_path, clock)
    token = sessions.begin(ANNA)
    assert sessions.find(token, lambda _: changed) is None
    assert sessions.find(token, get_anna) is None


def test_a_clock_that_was_ahead_at_the_login_leaves_no_session_for_years(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path, clock)
    clock.now += 1000 * HOUR
    token = sessions.begin(ANNA)
    clock.now -= 1000 * HOUR
    assert sessions.find(token, get_anna) is None


def test_there_are_bounded_numbers_of_sessions(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path, clock)
    tokens = [sessions.begin(ANNA) for _ in range(25)]
    assert len(sessions) == 20
    assert sessions.find(tokens[0], get_anna) is None and sessions.find(tokens[-1], get_anna) == ANNA


def test_a_disk_that_fails_costs_no_session_and_is_tried_again(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = open_sessions(tmp_path, clock)
    (tmp_path / "sessions.json").mkdir()
    token = sessions.begin(ANNA)
    assert sessions.find(token, get_anna) == ANNA and not sessions.is_due
    clock.now += 2
    assert sessions.is_due
    assert "sessions cannot be saved" in caplog.text and token not in caplog.text
    (tmp_path / "sessions.json").rmdir()
    sessions.save()
    assert open_sessions(tmp_path, clock).find(token, get_anna) == ANNA


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["user", "fingerprint", "begun", "used", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps({"A": value}).encode())
    | JSON.map(lambda v: json.dumps(v).encode())
)
def test_a_damaged_file_means_that_people_log_in_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sessions.json").write_bytes(content)
    sessions = Sessions(tmp_path / "sessions.json", 12 * HOUR, 2 * HOUR)
    assert sessions.find("A", get_anna) is None
    assert sessions.find(sessions.begin(ANNA), get_anna) == ANNA
