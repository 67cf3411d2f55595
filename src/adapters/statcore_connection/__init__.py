"""What adapters of network servers share: secrets and certificates in files, TLS, and the lifetime of a client."""
