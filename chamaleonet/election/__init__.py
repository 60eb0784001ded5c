"""Which of two controllers is the master, and how the other one knows what the master knew.

* ``lease``: what an election is, and when a master must take itself for none.
* ``etcd``, ``kubernetes``: a lease in a coordination service; ``http`` is how they are spoken to.
* ``priority``: two nodes that watch each other, without a service.
* ``feed``: the master's checkpoint, and that it lives, told to the other one.
"""
