"""A Flower app whose updates are chosen by a contract."""
