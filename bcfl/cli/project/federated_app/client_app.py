"""The client: a plain Flower app, but for the mod."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bcfl import peer_consensus_mod
from federated_app import task

app = ClientApp(mods=[peer_consensus_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on this node's data; the mod signs and sends the largest changes."""
    x, y = task.load_data(int(context.node_config["partition-id"]))
    arrays = task.train(message.content["arrays"].to_numpy_ndarrays(), x, y)
    metrics = MetricRecord({"num-examples": len(y)})
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure a model on this node's data: so members rate each other's."""
    x, y = task.load_data(int(context.node_config["partition-id"]))
    loss, accuracy = task.evaluate(message.content["arrays"].to_numpy_ndarrays(), x, y)
    metrics = MetricRecord({"loss": loss, "accuracy": accuracy, "num-examples": len(y)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
