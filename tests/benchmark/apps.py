"""Apps as users write them, of models of any size, on scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

BATCH = 32


def perceptron(*widths: int) -> nn.Module:
    """Linear layers between 64 pixels and ten classes."""
    layers: list[nn.Module] = []
    for before, after in pairwise((64, *widths, 10)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class LowRank(nn.Module):
    """A frozen linear layer and a trained product of two narrow ones (LoRA, Hu et al. 2021)."""

    def __init__(self, before: int, after: int, rank: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(before, after).requires_grad_(False)
        self.down, self.up = (
            nn.Linear(before, rank, bias=False),
            nn.Linear(rank, after, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.frozen(x) + self.up(self.down(x))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A random one, whose tokens are an image's eight rows; what it trains is of low rank."""

    def __init__(self, width: int, depth: int, rank: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width).requires_grad_(False)
        self.last = nn.Linear(width, 10).requires_grad_(False)
        self.mixing = nn.ModuleList(LowRank(width, 3 * width, rank) for _ in range(depth))
        self.wide = nn.ModuleList(LowRank(width, 4 * width, rank) for _ in range(depth))
        self.narrow = nn.ModuleList(LowRank(4 * width, width, rank) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.first(x.view(-1, 8, 8))
        for mixing, wide, narrow in zip(self.mixing, self.wide, self.narrow, strict=True):
            query, key, value = mixing(_normal(tokens)).chunk(3, dim=-1)
            tokens = tokens + functional.scaled_dot_product_attention(query, key, value)
            tokens = tokens + narrow(functional.gelu(wide(_normal(tokens))))
        return self.last(_normal(tokens).mean(dim=1))  # type: ignore[no-any-return]


def _normal(tokens: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(tokens, tokens.shape[-1:])


@lru_cache(maxsize=1)
def _images() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def _share(context: Context) -> tuple[torch.Tensor, torch.Tensor]:
    partition, count = (int(context.node_config[key]) for key in ("partition-id", "num-partitions"))
    images, labels = _images()
    return images[partition::count], labels[partition::count]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A model whose first weights are the same each time."""
    torch.manual_seed(1)
    return make()


def trained(model: nn.Module) -> ArrayRecord:
    """What of a model travels: the parameters that are trained."""
    found = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    return ArrayRecord({name: tensor.detach() for name, tensor in found.items()})


def client_app(model: nn.Module, mods: Sequence[Any], steps: int) -> ClientApp:
    """One pass over four fifths of a client's images, at most ``steps`` batches; the rest rates."""
    app = ClientApp(mods=list(mods))
    torch.set_num_threads(1)
    torch.optim.SGD(model.parameters())  # the first one imports torch's compiler: no round's time

    def load(message: Message) -> None:
        record = next(iter(message.content.array_records.values()))
        model.load_state_dict(record.to_torch_state_dict(), strict=False)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        load(message)
        images, labels = _share(context)
        optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
        order = torch.randperm(len(labels) * 4 // 5, generator=torch.Generator().manual_seed(1))
        loss = torch.zeros(())
        for batch in torch.split(order, BATCH)[:steps]:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        metrics = MetricRecord({"train_loss": loss.item(), "num-examples": len(order)})
        content = RecordDict({"arrays": trained(model), "metrics": metrics})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        load(message)
        images, labels = _share(context)
        held = slice(len(labels) * 4 // 5, None)
        with torch.inference_mode():
            loss = functional.cross_entropy(model(images[held]), labels[held]).item()
        metrics = MetricRecord({"eval_loss": loss, "num-examples": len(labels[held])})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


#: By name: a model, and how many batches a round a client trains on.
MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "1M": (lambda: perceptron(1000, 930), 1000),
    "11M": (lambda: perceptron(3300, 3250), 1000),
    "LoRA 10M": (lambda: Transformer(768, 4, 233), 4),
}
