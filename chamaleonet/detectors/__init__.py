"""One candidate port judged by several processes: the detectors.

The kernel spreads the port's packets over their rings (capture.spread), each has a flow engine of
its own, and the controller takes what they tell for the word of one engine (Detectors).
"""
