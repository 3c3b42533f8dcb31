"""The marketplace: models, their fusion, and the programs of its roles."""
