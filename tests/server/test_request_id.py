"""Every request has an id of its own: it is what connects an answer with the log."""

import pytest

from server.request_id import request_id_of


def test_a_sane_id_is_kept() -> None:
    assert request_id_of("job 7") == "job 7"


@pytest.mark.parametrize("given", [None, "", "é", "a\nb", "x" * 129])
def test_others_get_a_new_one_of_their_own(given: str | None) -> None:
    made = [request_id_of(given) for _ in range(3)]
    assert len(set(made)) == 3
    assert all(len(one) == 32 and one.isalnum() for one in made)


def test_an_id_tells_nothing_about_the_others() -> None:
    made = [request_id_of(None) for _ in range(1000)]
    for half in (slice(16), slice(16, 32)):
        assert len({one[half] for one in made}) == 1000
    assert sorted(made) != made
