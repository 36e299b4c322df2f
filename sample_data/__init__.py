"""Synthetic Sentinel-2-like harbour scenes: the generator, and the two scenes that a clone runs on without a download.

`sample_data.generate.generate_scene` is pure numpy; only `sample_data.geotiff` (files) knows rasterio.
"""
