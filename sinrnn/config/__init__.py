"""The config of a run: what it may contain, how it is read and how it is written.

- `sinrnn.config.files`: reading and checking the YAML, before any value is used;
- `sinrnn.config.allowlist`: the classes that a config may name;
- `sinrnn.config.parser`: from a config to a model and data;
- `sinrnn.config.dump`: from a model and data to a config;
- `sinrnn.config.resume_checks`: what may change when a run is resumed;
- `sinrnn.config.restore`: the data and settings of a finished run;
- `sinrnn.config.ineffective`: options that may have no effect;
- `sinrnn.config.messages`: one-line messages for parser errors;
- `sinrnn.config.unknown`: suggestions for unknown names in them.
"""
