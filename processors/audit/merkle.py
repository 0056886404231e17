"""A Merkle tree over the hashes of pages, so that one page can be proved to be in a journal of millions.

The tree of RFC 9162 (section 2.1): a leaf is SHA-256 of 0x00 and the page's hash, a node SHA-256 of 0x01 and
its two children; of n leaves the largest power of two below n stands left. Only one node per level is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Sibling(NamedTuple):
    """A node beside the way from a leaf to the root, and on which side of it."""

    side: Literal["left", "right"]
    hash: str


class _Subtree(NamedTuple):
    leaves: int
    digest: bytes
    holds_wanted: bool


@dataclass(slots=True)
class MerkleTree:
    """Grows leaf by leaf. `wanted` is the number of a leaf whose way to the root is remembered."""

    wanted: int = -1
    leaves: int = 0
    _stack: list[_Subtree] = field(default_factory=list)
    _path: list[Sibling] = field(default_factory=list)

    def add(self, page_hash: str) -> None:
        """The next page."""
        subtree = _Subtree(1, leaf(page_hash), self.leaves == self.wanted)
        while self._stack and self._stack[-1].leaves == subtree.leaves:
            subtree = _join(self._stack.pop(), subtree, self._path)
        self._stack.append(subtree)
        self.leaves += 1

    def want_next(self) -> None:
        """Make the next leaf the wanted one, whatever was wanted before."""
        self.wanted = self.leaves
        self._path.clear()
        self._stack = [subtree._replace(holds_wanted=False) for subtree in self._stack]

    def root(self) -> str:
        """The root over all leaves so far."""
        return self._fold([])

    def path(self) -> list[Sibling]:
        """The siblings on the way from the wanted leaf to the root, from below. ValueError without it."""
        if not 0 <= self.wanted < self.leaves:
            raise ValueError(f"there is no leaf {self.wanted} among {self.leaves}")
        path = list(self._path)
        self._fold(path)
        return path

    def _fold(self, path: list[Sibling]) -> str:
        if not self._stack:
            return hashlib.sha256(b"").hexdigest()
        *rest, subtree = self._stack
        for left in reversed(rest):
            subtree = _join(left, subtree, path)
        return subtree.digest.hex()


def leaf(page_hash: str) -> bytes:
    """The leaf of a page."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(page_hash)).digest()


def root_of(page_hash: str, path: Sequence[Sibling]) -> str:
    """The root that a page and the siblings on its way lead to. ValueError when one is not a hash."""
    digest = leaf(page_hash)
    for side, sibling in path:
        other = bytes.fromhex(sibling)
        digest = _node(other, digest) if side == "left" else _node(digest, other)
    return digest.hex()


def _join(left: _Subtree, right: _Subtree, path: list[Sibling]) -> _Subtree:
    if left.holds_wanted:
        path.append(Sibling("right", right.digest.hex()))
    elif right.holds_wanted:
        path.append(Sibling("left", left.digest.hex()))
    holds_wanted = left.holds_wanted or right.holds_wanted
    return _Subtree(left.leaves + right.leaves, _node(left.digest, right.digest), holds_wanted)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
