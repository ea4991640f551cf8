"""A trained network goes on where a series ends.

- `sinrnn.forecasting.predictor.Predictor`: a network and its units;
- `sinrnn.forecasting.units`: the transform of those units;
- `sinrnn.forecasting.forecast`: predictions with their intervals;
- `sinrnn.forecasting.caution`: reasons not to believe them;
- `sinrnn.forecasting.onnx`: a Predictor as an ONNX file.
"""
