"""`FairQueue`: rows that wait, from several clients; clients take turns, and a batch holds rows of one group."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items in lanes by client and group. Not safe for threads by itself: its owner holds a lock.

    A batch is begun by the client whose turn it is, with its oldest item; all clients with items of that group then add one
    each, in turns, until the batch is full. Clients that were served go to the end of the line. So a client with a thousand
    items costs one with a single item one batch, and no group waits for ever.

    Example:
        >>> queue = FairQueue()
        >>> for item in ("a1", "a2", "a3"):
        ...     queue.push("a", "group", item)
        >>> queue.push("b", "group", "b1")
        >>> queue.take(2)
        ['a1', 'b1']
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, dict[Hashable, deque[tuple[int, Item]]]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return sum(self._sizes.values())

    def waiting(self, client: str) -> int:
        """Items of a client."""
        return self._sizes.get(client, 0)

    def push(self, client: str, group: Hashable, item: Item) -> None:
        """Adds an item at the end of its client's lane for its group."""
        lanes = self._clients.setdefault(client, {})
        lanes.setdefault(group, deque()).append((next(self._numbers), item))
        self._sizes[client] = self.waiting(client) + 1

    def take(self, most: int, live: Callable[[Item], bool] = lambda item: True) -> list[Item]:
        """Takes the next batch, of at most so many items; those that are no longer ``live`` are dropped on the way."""
        while self._clients:
            first = next(iter(self._clients))
            lanes = self._clients[first]
            group = min(lanes, key=lambda key: lanes[key][0][0])
            turn = [client for client, own in self._clients.items() if group in own]
            served = list(turn)
            batch: list[Item] = []
            while turn and len(batch) < most:
                for client in list(turn):
                    item = self._next(client, group, live)
                    if item is None:
                        turn.remove(client)
                    else:
                        batch.append(item[0])
                    if len(batch) == most:
                        break
            for client in served:
                if client in self._clients:
                    self._clients.move_to_end(client)
            if batch:
                return batch
        return []

    def drop(self, dead: Callable[[Item], bool]) -> int:
        """Removes items; returns how many."""
        removed = 0
        for client in list(self._clients):
            for group in list(self._clients[client]):
                lane = self._clients[client][group]
                kept = deque(entry for entry in lane if not dead(entry[1]))
                removed += len(lane) - len(kept)
                self._sizes[client] -= len(lane) - len(kept)
                self._clients[client][group] = kept
                self._tidy(client, group)
        return removed

    def _next(self, client: str, group: Hashable, live: Callable[[Item], bool]) -> tuple[Item] | None:
        """The next live item of a lane, wrapped; None where there is none."""
        lane = self._clients.get(client, {}).get(group)
        found: tuple[Item] | None = None
        while lane and found is None:
            _, item = lane.popleft()
            self._sizes[client] -= 1
            found = (item,) if live(item) else None
        if lane is not None:
            self._tidy(client, group)
        return found

    def _tidy(self, client: str, group: Hashable) -> None:
        if not self._clients[client][group]:
            del self._clients[client][group]
        if not self._clients[client]:
            del self._clients[client]
            del self._sizes[client]
