"""A shard's state, kept by somebody who does not write it: from the journal alone, page after page."""

from __future__ import annotations

from ledger.pages import Page, PublishedOutput, hash_outputs
from ledger.state import State
from processors.journal import Journal
from processors.paging import Divergence, replay_page
from processors.shard import load_newest_snapshot


class Follower:
    """Follows one shard. What it recomputes must have the hash that each page records."""

    def __init__(self, journal: Journal, shard: int) -> None:
        self._journal = journal
        self.shard = shard
        self.state = State()
        self.page = -1  # the last page that is in the state
        self._head = ""  # its hash, once it was read

    async def begin(self) -> None:
        """Start from the newest snapshot rather than from the genesis."""
        self.state, following = await load_newest_snapshot(self._journal, self.shard)
        self.page = following - 1

    async def catch_up(self) -> list[PublishedOutput]:
        """Apply every page committed since; the outputs of all. Divergence when a page says otherwise."""
        outputs: list[PublishedOutput] = []
        # From the last page on, so that the next one is seen to follow it.
        async for page in self._journal.pages(self.shard, max(0, self.page)):
            if page.number == self.page:
                self._require_head(page)
                continue
            recomputed = replay_page(self.state, page, self._journal.shards)
            if hash_outputs(recomputed) != page.output_hash:
                raise Divergence(f"shard {self.shard} page {page.number}: recomputed outputs differ")
            outputs += recomputed
            self.page, self._head = page.number, page.hash
        return outputs

    def _require_head(self, page: Page) -> None:
        if self._head not in ("", page.hash):
            raise Divergence(f"shard {self.shard} page {page.number}: it is another page than it was")
