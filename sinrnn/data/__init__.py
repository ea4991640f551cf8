"""A series, cut into windows and served in batches.

- `sinrnn.data.series`: the base class `Series`, and `FileSeries`;
- `sinrnn.data.arrays`: `ArraySeries`, a series of given values;
- `sinrnn.data.synthetic`: series computed by a formula;
- `sinrnn.data.readers`: columns of CSV, .npy and Parquet files;
- `sinrnn.data.time_index`: the times of samples;
- `sinrnn.data.period`: the strongest period of a series;
- `sinrnn.data.windows.Windows`: sliding windows;
- `sinrnn.data.splits.Splits`: windows of the training, validation and test splits;
- `sinrnn.data.datamodule.WindowDataModule`: the data module for Lightning;
- `sinrnn.data.samplers`: the order of windows.
"""
