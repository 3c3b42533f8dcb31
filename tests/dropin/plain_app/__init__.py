"""plain_app: a Flower app as Flower's documentation writes it; knows nothing of bcfl."""
