"""Keys that were seen."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from include.enrichment.keys import SeenKeys


def test_a_new_key_was_seen_nowhere():
    with SeenKeys() as seen:
        assert seen.note("a", 1) is None


def test_a_key_seen_before_tells_where_it_was_seen_first():
    with SeenKeys() as seen:
        seen.note("a", 7)
        assert [seen.note("a", 8), seen.note("a", 9)] == [7, 7]


def test_place_0_is_a_place():
    with SeenKeys() as seen:
        seen.note("a", 0)
        assert seen.note("a", 1) == 0


def test_two_of_them_do_not_see_each_other():
    with SeenKeys() as one, SeenKeys() as other:
        one.note("a", 1)
        assert other.note("a", 2) is None


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(st.lists(st.one_of(KEYS, st.sampled_from(["1", "01", "1.0", "a", "A", "a ", "e\u0301", "é", "a\0b", "a\0c"]))))
def test_it_is_a_dict_of_first_places(keys):
    first: dict[str, int] = {}
    with SeenKeys() as seen:
        for number, key in enumerate(keys):
            assert seen.note(key, number) == first.get(key)
            first.setdefault(key, number)


def test_the_memory_of_python_does_not_grow_with_the_keys():
    tracemalloc.start()
    with SeenKeys() as seen:
        for number in range(20_000):
            seen.note(f"{number:0100d}", number)
        _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200_000


def test_half_a_surrogate_pair_is_a_key_as_well():
    with SeenKeys() as seen:
        assert seen.note("a\ud83d", 1) is None
        assert seen.note("a\ud83d", 2) == 1
