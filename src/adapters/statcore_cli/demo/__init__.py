"""`statcore demo`: the whole way from real child processes to live statistics and utilization."""
