"""A run's config: what it may hold, how it is read, how it is written.

- `sinrnn.config.files`: the YAML, as plain values, and before they are looked at;
- `sinrnn.config.allowlist`: which classes a config may name;
- `sinrnn.config.parser`: a config becomes a model and data;
- `sinrnn.config.resume_checks`: what may change where a run goes on;
- `sinrnn.config.restore`: the data of a finished run, made from its config;
- `sinrnn.config.dump`: the config of a model and data that were built in Python;
- `sinrnn.config.messages`: a parser's errors, in one line.
"""
