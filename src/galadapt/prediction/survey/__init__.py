"""Measuring a survey of many mosaics, in jobs of bounded memory.

1. `tiles`: every mosaic is opened once: where it has data, and whether it can be measured at all;
2. `plan`: every object goes to the tile that covers it best, and to a job of one tile and one cell;
3. `job`: `galadapt.prediction.predict` measures the objects of a job;
4. `dataset`: the jobs' tables become one dataset, partitioned by HEALPix cell;
5. `page`: what is in it, on one page.
"""
