"""`chamaleonet doctor`: what is wrong with the machine and the switch, and what to do about it.

A check is a small function of a Context. It looks at the machine through ``machine.Machine`` alone,
so that its tests say what there is to be seen; and it changes nothing.
"""
