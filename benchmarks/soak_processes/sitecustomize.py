"""Python imports this when it starts: each process of the soak's service keeps samples of its memory."""

from soak_memory import keep_samples

keep_samples()
