"""Bytes come in: capture files, the packet ring and packet-ins become batches of packets."""
