"""What a network is worth on its data, as numbers, text and pictures.

- `sinrnn.evaluation.evaluate`: everything that is measured of a network;
- `sinrnn.evaluation.metrics`: skill, intervals, phase drift, saturation, spectral radius, lag;
- `sinrnn.evaluation.baselines`: what a forecast must beat;
- `sinrnn.evaluation.backtest`: forecasts from many origins, and their intervals;
- `sinrnn.evaluation.results`: losses, curves and a rollout;
- `sinrnn.evaluation.report`: the closing table; `sinrnn.evaluation.columns`: tables as text;
- `sinrnn.evaluation.summary`: the few numbers that a run's folder keeps;
- `sinrnn.evaluation.figures`, `sinrnn.evaluation.plots`, `sinrnn.evaluation.starts`,
  `sinrnn.evaluation.picture`: pictures;
- `sinrnn.evaluation.diagnosis`: what is wrong, and what to try.
"""
