"""A series, cut into windows, served in batches.

- `sinrnn.data.series`: what a series is, and one from a file;
- `sinrnn.data.synthetic`: series made by a formula;
- `sinrnn.data.readers`: columns of CSV, .npy and Parquet files;
- `sinrnn.data.windows.Windows`: the sliding windows;
- `sinrnn.data.datamodule.WindowDataModule`: for Lightning;
- `sinrnn.data.samplers`: the order of windows.
"""
