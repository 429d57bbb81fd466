"""The kernel that the four services share."""
