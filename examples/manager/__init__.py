"""A small cluster manager that embeds statcore: one file a role.

`settings` says what is where, `cluster` what exists, `ports` opens what the settings name, `graphql_endpoint` answers
queries, `autoscaling` decides how many replicas there shall be, and `app` joins them and closes them again.
"""
