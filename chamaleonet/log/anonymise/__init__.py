"""Other addresses: Crypto-PAn in records and in packets (docs/privacy.md)."""
