"""Forecasts of a series by a trained network.

- `sinrnn.forecasting.predictor.Predictor`: a network with its window, horizon and units;
- `sinrnn.forecasting.units`: the transform between a series' units and the network's;
- `sinrnn.forecasting.choice`: the automatic choice of units and window;
- `sinrnn.forecasting.forecast`: predictions with prediction intervals;
- `sinrnn.forecasting.intervals`: the width of these intervals;
- `sinrnn.forecasting.caution`: reasons to doubt a forecast;
- `sinrnn.forecasting.onnx`: a Predictor as an ONNX file.
"""
