"""What others read: JSON Lines and syslog (docs/events.md)."""
