"""What is wrong with a run, and what to try.

- `sinrnn.evaluation.diagnosis.checks`: all checks, and their sentences;
- `sinrnn.evaluation.diagnosis.training_checks`: of scale, hidden units, gradients and curves;
- `sinrnn.evaluation.diagnosis.forecast_checks`: of forecasts;
- `sinrnn.evaluation.diagnosis.words`: options, as the command line or Python names them.
"""
