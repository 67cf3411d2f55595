"""What adapters of network servers share: secrets in files, TLS, a client's lifetime, unforeseen errors."""
