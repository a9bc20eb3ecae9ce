"""How the outputs of a network's layers lie over its picture, for networks whose family camq does not know.

Convolutions put out (N, K, h, w), some transformers (N, h, w, K), others tokens (N, T, K): those of the picture's
patches in rows, behind a few of the class and of registers.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from shared.errors import UsageError

#: Of the class, of distillation, and registers: more than that stand before the patches of no network.
_MOST_SPECIAL = 16
_Side = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """`picture` is height and width of the network's input, `grids` those of the maps that its convolutions put out."""

    picture: _Side
    grids: frozenset[_Side] = frozenset()

    def special(self, output: Tensor) -> int | None:
        """How many tokens of an output (N, T, K) stand before those of the patches; None where it has no such form."""
        if output.dim() != 3:
            return None
        tokens = int(output.shape[1])  # while an exporter traces, sizes are tensors
        if tokens in self._halved:
            return 0
        rests = [tokens - height * width for height, width in self.grids]
        return min((rest for rest in rests if 0 <= rest <= _MOST_SPECIAL), default=None)

    def as_map(self, layer: str, output: Tensor) -> Tensor:
        """A layer's output as (N, K, h, w). Raises UsageError when it is no map of the picture."""
        special = self.special(output)
        if special is not None:
            count = int(output.shape[1]) - special
            height, width = self._halved.get(count) or next(grid for grid in self.grids if grid[0] * grid[1] == count)
            # However many pictures: their number must not become a constant of an exported graph.
            return output[:, special:].reshape(-1, height, width, int(output.shape[2])).permute(0, 3, 1, 2)
        if output.dim() == 4:
            first, second, last = (int(side) for side in output.shape[1:])
            inside = "attn" in layer or "attention" in layer  # where heads and windows can have the shape of a map
            if self.alike(second, last) and (not inside or (second, last) in self.grids):
                return output
            if self.alike(first, second) and (not inside or (first, second) in self.grids):
                return output.permute(0, 3, 1, 2)
        raise UsageError(
            f"the output of layer {layer} is {tuple(output.shape)}, which is no map of a picture of "
            f"{self.picture[0]}x{self.picture[1]} pixels"
        )

    @cached_property
    def _halved(self) -> dict[int, _Side]:
        """By their number of positions, also the grids that attention makes of one by leaving out every other row."""
        found = {height * width: (height, width) for height, width in self.grids}
        left = list(self.grids)
        while left:
            height, width = left.pop()
            found.setdefault(height * width, (height, width))
            if height > 2 and width > 2:
                left.append(((height + 1) // 2, (width + 1) // 2))
        return found

    def alike(self, height: int, width: int) -> bool:
        """Whether a map of these sides may lie over the picture: its proportions, to the rounding of strides."""
        tall, wide = self.picture
        if tall == wide:
            return height == width
        return abs(height * wide - width * tall) < max(tall, wide) and height <= tall


def layout_of(module: nn.Module, noise: Tensor) -> Layout:
    """Run the network once and see which maps there are of `noise` (1, K, H, W)."""
    plain = Layout((noise.shape[2], noise.shape[3]))
    grids: set[_Side] = set()

    def see(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and plain.alike(output.shape[2], output.shape[3]):
            grids.add((output.shape[2], output.shape[3]))

    handles = [each.register_forward_hook(see) for each in module.modules() if isinstance(each, nn.Conv2d)]
    try:
        with torch.inference_mode():
            module(noise)
    finally:
        for handle in handles:
            handle.remove()
    return Layout(plain.picture, frozenset(grid for grid in grids if grid[0] * grid[1] > 1))
