"""The error tree: errors cross processes unchanged, and show their facts."""

import copy
import inspect
import pickle

import pytest

from mailroom.domain import errors
from mailroom.domain.errors import (
    ConfigurationError,
    MailroomError,
    OutcomeUnknown,
    PermanentError,
    Quarantined,
    Reason,
    Refused,
    Throttled,
    TransientError,
)

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MailroomError)]


def made(kind: type[MailroomError]) -> MailroomError:
    return kind("gone", code=550, step="key")


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_pickles_with_its_facts(kind: type[MailroomError]) -> None:
    """Prefect keeps results and sends exceptions between processes by pickling; Python would drop keyword arguments."""
    error = made(kind)

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is kind
    assert (again.message, again.facts, str(again)) == (error.message, error.facts, str(error))


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_copies_with_its_facts(kind: type[MailroomError]) -> None:
    """Copying uses the pickling protocol, and Prefect copies states."""
    assert str(copy.copy(made(kind))) == str(made(kind))


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_a_quarantined_mail_keeps_its_reason(reason: Reason) -> None:
    """Filters, metrics and replays use the reason, in every process that reads it."""
    again = pickle.loads(pickle.dumps(Quarantined(reason, size=7)))  # noqa: S301 - our own bytes

    assert again.reason is reason
    assert again.facts == {"size": 7}


def test_an_unknown_reason_is_refused() -> None:
    """A misspelt reason would be a quarantine that no filter shows."""
    with pytest.raises(ValueError, match="lost"):
        Quarantined("lost")


def test_an_error_shows_its_facts() -> None:
    """A log has one line for it; the message alone is the same for all."""
    assert str(Refused("recipient refused", code=550, step="rcpt")) == "recipient refused (code=550, step=rcpt)"
    assert str(Quarantined(Reason.GONE, code="NoSuchKey")) == "gone (code=NoSuchKey)"
    assert str(TransientError("AWS is temporarily unavailable")) == "AWS is temporarily unavailable"


def test_three_branches_decide_what_happens_next() -> None:
    """Retry rules ask for a branch; an error in two of them would be retried and given up at once."""
    branches = (TransientError, OutcomeUnknown, PermanentError)

    leaves = [kind for kind in TREE if kind is not MailroomError]

    assert all(sum(issubclass(kind, branch) for branch in branches) == 1 for kind in leaves)
    assert issubclass(Throttled, TransientError)
    assert issubclass(Refused, PermanentError)
    assert issubclass(Quarantined, PermanentError)


def test_a_wrong_set_up_is_outside_the_tree() -> None:
    """Code that catches errors of mails must not swallow it: no mail can be processed until it is corrected."""
    assert not issubclass(ConfigurationError, MailroomError)
