"""Evaluation of a predictor on its data, as numbers, text and pictures.

- `sinrnn.evaluation.evaluate`: all measurements of a run;
- `sinrnn.evaluation.metrics`: skill, intervals, phase drift, saturation, spectral radius, lag;
- `sinrnn.evaluation.baselines`: the forecasts that a network should beat;
- `sinrnn.evaluation.backtest`: forecasts from many origins, and their intervals;
- `sinrnn.evaluation.linear_fallback`: the linear part instead, if the network brings no gain;
- `sinrnn.evaluation.results`: the measurements; `sinrnn.evaluation.summary`: those in results.json;
- `sinrnn.evaluation.report`: the closing table; `sinrnn.evaluation.columns`: tables as text;
- `sinrnn.evaluation.figures`, `sinrnn.evaluation.plots`, `sinrnn.evaluation.loss_plots`,
  `sinrnn.evaluation.picture`: pictures;
- `sinrnn.evaluation.diagnosis`: problems of a run, and what to try.
"""
