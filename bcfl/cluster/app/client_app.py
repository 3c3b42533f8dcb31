"""The client: a plain Flower app, but for ``mods=[peer_consensus_mod]``."""

from __future__ import annotations

import task
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bcfl import peer_consensus_mod

app = ClientApp(mods=[peer_consensus_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on this node's partition."""
    x, y = task.load_data(int(context.node_config["partition-id"]))
    arrays = task.train(message.content["arrays"].to_numpy_ndarrays(), x, y)
    content = RecordDict(
        {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": len(y)})}
    )
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure on this node's partition."""
    x, y = task.load_data(int(context.node_config["partition-id"]))
    loss, accuracy = task.evaluate(message.content["arrays"].to_numpy_ndarrays(), x, y)
    metrics = MetricRecord({"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(y)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
