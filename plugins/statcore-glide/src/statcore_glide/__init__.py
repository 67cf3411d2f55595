"""Live statistics in Valkey through valkey-glide; nothing is imported here, so that finding the plugin needs no driver."""
