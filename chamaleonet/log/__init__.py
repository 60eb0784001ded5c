"""Erroneous packets and flows to files and to the logger process; knows nothing of OpenFlow."""
