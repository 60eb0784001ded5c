"""Side by side with tcpdump, argus and nfstream."""
