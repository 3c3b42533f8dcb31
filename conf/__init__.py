"""Hydra's configuration: the values, each with its meaning, mirroring the code that reads them.

``config.yaml`` holds the knobs that one turns, and which option of each group is taken:
``bcfl run gamma=0.05 strategy=fedavg attack=sign_flip attack.fraction=0.3``. A group is a
folder; adding an option is adding a file.
"""
