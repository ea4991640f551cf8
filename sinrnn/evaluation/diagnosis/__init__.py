"""What is wrong with a run, and what to try.

- `sinrnn.evaluation.diagnosis.checks`: all checks, and their sentences;
- `sinrnn.evaluation.diagnosis.training_checks`: of units, gradients and losses;
- `sinrnn.evaluation.diagnosis.forecast_checks`: of forecasts.
"""
