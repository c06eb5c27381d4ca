"""How several workers divide a limit that an operator set in Prefect."""

from hypothesis import given
from hypothesis import strategies as st

from deployments.worker.gates import LimitShare


@given(st.integers(0, 1_000), st.integers(1, 50))
def test_the_shares_of_all_workers_add_up_to_the_limit(limit: int, workers: int) -> None:
    """No run too many, no slot unused, and no worker has two more than another."""
    parts = [LimitShare(number, workers).of(limit) for number in range(workers)]

    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1
