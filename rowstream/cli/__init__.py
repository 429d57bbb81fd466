"""The rowstream command."""
