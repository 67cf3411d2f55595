"""VictoriaMetrics as a metric backend of statcore; nothing is imported here, so that finding the plugin needs no driver."""
