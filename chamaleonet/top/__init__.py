"""`chamaleonet top`: a live view of the verdict stream.

``model`` counts, ``findings`` looks for causes, ``state`` is what is looked at and what keys do to
it, ``view`` makes lines of all that, ``keys`` tells what was pressed: these take data and the time,
and do no more. ``terminal``, ``plain`` and ``watch`` have the terminal, the pipe and the stream.
"""
