"""One YAML file per workload, read and checked without Airflow, without the AWS SDK and without the network.

    reading.py        a file's text -> plain data, and where each key and value stands
    config.py         plain data -> a frozen `Workload`, one group a stage
    import_paths.py   whether `package.module:function` in a file leads to a function
    tasks/            a `Workload` -> the tasks of its loop as data, a module a stage: operator, arguments, order
    source.py         the same tasks as plain operator code (`airflow-distill workload eject`)
    iam.py            the least-privilege policies and trust documents a `Workload` needs
    schema.py         the published JSON schema

The TaskGroups and the Dag factory in `pipelines/` build operators from `tasks/`; `eject` prints the same list, so the two
cannot drift apart.
"""
