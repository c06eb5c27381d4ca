"""When a part that died is restarted, and when it is given up."""

from mailroom.sandbox.stack.deaths import MOST_DEATHS, WITHIN_S, Deaths


def test_each_death_is_followed_by_a_longer_pause_and_the_sixth_by_none() -> None:
    """A part that dies at once would otherwise be started several times a second."""
    deaths = Deaths()

    pauses = [deaths.note("was killed by SIGKILL", now=100.0 + number) for number in range(MOST_DEATHS + 1)]

    assert pauses == [1, 2, 4, 8, 16, None]


def test_deaths_of_long_ago_do_not_count() -> None:
    """A part that dies now and then comes back each time, within a second."""
    deaths = Deaths()

    pauses = {deaths.note("ended with exit code 1", now=number * (WITHIN_S + 1)) for number in range(50)}

    assert pauses == {1}


def test_the_last_death_is_shown_with_its_time_and_cause() -> None:
    deaths = Deaths()
    assert deaths.as_json() == {"restarts": 0, "last_death_at": None, "last_death": None}

    deaths.note("ended with exit code 1", now=1.0)
    deaths.note("was killed by SIGKILL", now=2.0)

    assert deaths.as_json()["last_death"] == "was killed by SIGKILL"
    assert deaths.as_json()["last_death_at"].endswith("+00:00")
