"""The tree is the one of RFC 9162, and a way from a leaf proves exactly that leaf."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.audit.merkle import MerkleTree, Sibling, root_of


def page_hash(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def tree_of(leaves: int, wanted: int = -1) -> MerkleTree:
    tree = MerkleTree(wanted)
    for number in range(leaves):
        tree.add(page_hash(number))
    return tree


def by_definition(hashes: list[str]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, as it is written there."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashlib.sha256(b"\x00" + bytes.fromhex(hashes[0])).digest()
    left = 1
    while 2 * left < len(hashes):
        left *= 2
    return hashlib.sha256(b"\x01" + by_definition(hashes[:left]) + by_definition(hashes[left:])).digest()


@pytest.mark.parametrize("leaves", range(70))
def test_the_root_is_that_of_the_definition(leaves: int) -> None:
    assert tree_of(leaves).root() == by_definition(list(map(page_hash, range(leaves)))).hex()


@given(st.integers(1, 200), st.data())
def test_the_way_from_a_leaf_leads_to_the_root(leaves: int, data: st.DataObject) -> None:
    wanted = data.draw(st.integers(0, leaves - 1))
    tree = tree_of(leaves, wanted)
    assert root_of(page_hash(wanted), tree.path()) == tree.root() == tree_of(leaves).root()
    assert len(tree.path()) <= leaves.bit_length()


@given(st.integers(2, 100), st.data())
def test_no_other_page_and_no_changed_way_leads_there(leaves: int, data: st.DataObject) -> None:
    wanted = data.draw(st.integers(0, leaves - 1))
    tree = tree_of(leaves, wanted)
    path = tree.path()
    assert root_of(page_hash(wanted + 1), path) != tree.root()
    place = data.draw(st.integers(0, len(path) - 1))
    other = Sibling("left" if path[place].side == "right" else "right", path[place].hash)
    for changed in (other, Sibling(path[place].side, page_hash(-1))):
        assert root_of(page_hash(wanted), [*path[:place], changed, *path[place + 1 :]]) != tree.root()


def test_a_way_can_be_asked_for_at_any_size_of_the_tree() -> None:
    tree = MerkleTree(wanted=3)
    for number in range(40):
        tree.add(page_hash(number))
        if number >= 3:
            assert root_of(page_hash(3), tree.path()) == tree.root()


def test_a_leaf_that_is_not_there_has_no_way() -> None:
    for wanted in (-1, 5):
        with pytest.raises(ValueError, match="no leaf"):
            tree_of(5, wanted).path()
