"""Writes worker/core/checkpoint/architectures.json: each architecture by the shapes of its tensors.

.venv/bin/python -m bench.architectures_table
"""

import json
from pathlib import Path

import torch
from torch import nn

from worker.core.checkpoint import guess
from worker.core.model import architectures

PATH = Path(guess.__file__).with_name("architectures.json")


def main() -> None:
    table: dict[str, str] = {}
    for name in architectures.NAMES:
        module = _built(name)
        last = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
        shapes = [(key, tuple(t.shape)) for key, t in module.state_dict().items() if key != f"{last}.weight"]
        for signature in guess.signatures(shapes):
            if table.setdefault(signature, name) != name:
                print(f"{name} looks like {table[signature]}")
    PATH.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n", "utf-8")


def _built(name: str) -> nn.Module:
    try:
        with torch.device("meta"):
            return architectures.construct(name)
    except (NotImplementedError, RuntimeError):
        return architectures.construct(name)


if __name__ == "__main__":
    main()
