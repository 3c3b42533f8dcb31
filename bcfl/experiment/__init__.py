"""One experiment, from configuration to folder, for ``bcfl run``.

==================  ===============================================================
``run``             a run: build, play, write down
``configuration``   conf/ as typed values
``seeds``           one seed for a run, and from it one for each purpose
``mistakes``        a misspelt knob, and the one that was meant
``hydra_entry``,    Hydra's and Flower's way in
``flower_app``
``clients``         data, models, training, engines
``datasets``        a module for each data set
``attacks``         what malicious clients do
``market``          the marketplace as an experiment
``recorder``,       what is kept of a run, and where
``result``,
``run_folder``
``redaction``       what is not kept: secrets
``resume``          going on with a run that was cut off
``sweep``           the summary of a sweep
``terminal``        the table that grows
==================  ===============================================================
"""
