"""`chamaleonet top`: a live view of the verdict stream.

``model`` counts, ``findings`` looks for causes, ``view`` makes lines of it and ``keys`` tells what
was pressed: these four take data and the time, and do no more. ``terminal``, ``plain`` and
``watch`` have the terminal, the pipe and the stream.
"""
