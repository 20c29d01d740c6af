"""Folded states, kept: valid up to a position, and thrown away the moment that is in doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from events.ids import parts
from events.log import Recorded
from events.mapper import decode, may_be_sealed
from events.personal import SubjectKey, is_sealed, opened
from services.decision import Subject
from services.store.protocol import Store


class StateCache:
    """An LRU of states and of accounts' open documents, in front of the store.

    Everything in it is true at `position`; what is loaded later is true later too, and a commit
    with `known_position = position` is compared with all that moved since.
    """

    def __init__(
        self,
        store: Store,
        subjects: Iterable[Subject],
        streams_max: int = 200_000,
        document_kinds: Sequence[str] = (),
    ) -> None:
        """With `document_kinds`, the lists of open documents name only those."""
        self._store, self._streams_max, self._document_kinds = store, streams_max, document_kinds
        self._subjects = {subject.state.KIND: subject for subject in subjects}
        self.streams: dict[str, Any] = {}
        self.documents: dict[str, dict[str, dict[str, None]]] = {}
        """Each home's open documents: each kind's ids, in order."""
        self.references: dict[tuple[str, str, str], Sequence[str]] = {}
        """Of one attempt only: what is not found now may be found at the next."""
        self.position = 0

    @property
    def size(self) -> int:
        return len(self.streams) + len(self.documents) + len(self.references)

    async def load(self, streams: Collection[str], homes: Collection[str]) -> None:
        """Fold what is not here yet."""
        if streams:
            position, found = await self._store.load(list(streams))
            self._first(position)
            keys = await self._keys(event for events in found.values() for event in events)
            for stream, events in found.items():
                self.streams[stream] = self._fold(stream, events, keys)
        if homes:
            position, documents = await self._store.open_documents(list(homes), self._document_kinds)
            self._first(position)
            for home, open_streams in documents.items():
                self.documents[home] = {}
                for stream in open_streams:
                    self.list_document(home, stream, True)

    async def find(self, references: Collection[tuple[str, str, str]]) -> None:
        """Look (tenant, gateway, reference) up."""
        if references:
            found = await self._store.references(list(references))
            self.references |= {name: found.get(name, ()) for name in references}

    async def catch_up(self) -> None:
        """Throw away whatever has moved in the log."""
        self.move_to(*await self._store.moved_since(self.position))

    def move_to(self, position: int, moved: Iterable[tuple[str, str]]) -> None:
        """Be true at a later position; `moved`, each as (home, stream), is what others have changed."""
        for home, stream in moved:
            self.streams.pop(stream, None)
            self.documents.pop(home, None)
        self.position = position

    def evict(self, streams: Iterable[str], homes: Iterable[str] = ()) -> None:
        for stream in streams:
            self.streams.pop(stream, None)
        for home in homes:
            self.documents.pop(home, None)

    def evict_subject(self, home: str) -> None:
        """Throw away every state that may hold an account's personal data."""
        tenant, _, account_id = home.partition("/")
        own = [
            stream
            for stream, state in self.streams.items()
            if stream.startswith(f"{tenant}/")
            and (stream == f"{tenant}/account-{account_id}" or getattr(state, "account_id", "") == account_id)
        ]
        self.evict(own)

    def clear(self) -> None:
        self.streams.clear()
        self.documents.clear()
        self.position = 0

    def list_document(self, home: str, stream: str, is_open: bool) -> None:
        """Keep an account's list in step with a stream that has opened or closed."""
        listed = self.documents.get(home)
        if listed is None:
            return
        _, kind, id = parts(stream)
        if is_open:
            listed.setdefault(kind, {})[id] = None
        else:
            listed.get(kind, {}).pop(id, None)

    def touch(self, streams: Iterable[str], spared: Collection[str] = ()) -> None:
        """Make streams the last to be dropped, and drop the first when there are too many.

        While the cache is not half full, nothing will be dropped soon, and any order does.
        `spared` are not dropped: the store does not know them so yet.
        """
        if len(self.streams) > self._streams_max // 2:
            for stream in streams:
                state = self.streams.pop(stream, None)
                if state is not None:
                    self.streams[stream] = state
        _trim(self.streams, self._streams_max, spared)
        _trim(self.documents, self._streams_max)

    def _first(self, position: int) -> None:
        """An empty cache is true wherever its first state is."""
        if not self.streams and not self.documents:
            self.position = position

    async def _keys(self, events: Iterable[Recorded]) -> Mapping[str, SubjectKey | None]:
        homes = {event.home for event in events if may_be_sealed(event.topic) and is_sealed(event.data)}
        return await self._store.subject_keys(homes) if homes else {}

    def _fold(self, stream: str, events: Sequence[Recorded], keys: Mapping[str, SubjectKey | None]) -> Any:
        subject = self._subjects[parts(stream)[1]]
        state = subject.state()
        for event in events:
            data = event.data
            if keys and may_be_sealed(event.topic):
                data = opened(data, keys.get(event.home))
            subject.evolve(state, decode(event.topic, data))
            state.version = event.version
        return state


def _trim(kept: dict[str, Any], most: int, spared: Collection[str] = ()) -> None:
    if len(kept) > most:
        for stream in list(kept)[: len(kept) - most + most // 10]:
            if stream not in spared:
                del kept[stream]
