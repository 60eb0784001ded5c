"""One module per experiment: ``EXPERIMENT`` describes it, ``run(quick)`` returns its rows."""
