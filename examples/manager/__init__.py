"""A small cluster manager that embeds statcore, with one file per role.

`settings` reads the environment. `cluster` reads which sessions and endpoints exist. `ports` opens the store and the metric
backend. `graphql_endpoint` answers queries. `autoscaling` decides on the number of replicas. `serving` serves HTTP. `app`
joins these roles, and closes them at the end.
"""
