"""Jobs: rows of a file into parts of a folder, whatever is killed in between.

* source: rows of JSONL and Parquet, in chunks. row_reading: from a row to what is written.
* folder: the output folder: what job it is of, and its parts. A part is there whole or not at all.
* work: one chunk from its rows to its part; the same code in one process, in several (processes) and on Ray (cluster).
* job: runs the chunks that have no part yet, and tells how far it is.
"""
