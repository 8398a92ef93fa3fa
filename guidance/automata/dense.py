"""Forward and backward at once, for automata of few states: one small dense product in log space a position.

With few states the time goes into calls and not into arithmetic. Here a position costs two calls for both directions,
where the sparse circuit needs about twenty.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_NUMBERS = 2_000  # states squared times batch, up to which it is the faster way


class DenseTransitions:
    """The transitions as a table of labels.

    Args:
        source: (E,) state of each edge.
        target: (E,) state it leads to.
        label: (E,) number of its label.
        num_states: S.
        num_labels: U.
    """

    def __init__(
        self,
        source: NDArray[np.integer],
        target: NDArray[np.integer],
        label: NDArray[np.integer],
        num_states: int,
        num_labels: int,
    ) -> None:
        self.num_states = num_states
        table = np.full((num_states, num_states), num_labels, dtype=np.int64)  # the label behind the last is -inf
        table[source, target] = label
        self.backwards = torch.from_numpy(table.reshape(-1))
        self.forwards = torch.from_numpy(np.ascontiguousarray(table.T).reshape(-1))

    def to(self, device: torch.device) -> None:
        """Move the tables to a device, in place."""
        self.backwards, self.forwards = self.backwards.to(device), self.forwards.to(device)

    def pays(self, batch: int) -> bool:
        """Whether this is faster than the circuit for so many rows."""
        return self.num_states**2 * batch <= MAX_NUMBERS

    def matrices(self, labels: Tensor) -> Tensor:
        """Label weights (L, U, B) -> (L, 2, S, S, B): at k the position L-1-k backwards (from, to), and the position k
        forwards (to, from)."""
        length, _, batch = labels.shape
        padded = torch.cat([labels, labels.new_full((length, 1, batch), -torch.inf)], dim=1)
        both = (padded.flip(0).index_select(1, self.backwards), padded.index_select(1, self.forwards))
        return torch.stack(both, dim=1).view(length, 2, self.num_states, self.num_states, batch)
