"""Code that adapters of network servers share: secrets in files, TLS, a client's lifetime, the boundary of errors."""
