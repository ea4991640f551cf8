"""The diagnosis of a run: problems, with suggestions.

- `sinrnn.evaluation.diagnosis.checks`: all checks;
- `sinrnn.evaluation.diagnosis.training_checks`: checks of training;
- `sinrnn.evaluation.diagnosis.forecast_checks`: checks of forecasts;
- `sinrnn.evaluation.diagnosis.unreached`: options that had no effect;
- `sinrnn.evaluation.diagnosis.words`: the options in a suggestion, for the command line or Python.
"""
