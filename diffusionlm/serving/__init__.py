"""Serving: an HTTP service in OpenAI's form, and jobs over many rows.

* rows: one text to write, rows that may share a batch, and writing a batch so that a bad row fails alone.
* plugins: the allow-list of guidance plugins and settings; trial: guidance is compiled apart, within a time limit.
* the service: bodies (what may be asked), reading (into rows), fair_queue and worker (shared batches), responses and
  events (OpenAI's form, drafts), choosing (probabilities of options), access (keys, size of bodies), metrics, app (routes),
  server (uvicorn, slow clients).
* jobs/: rows of JSONL or Parquet into parts of a folder, in one process, several, or on a Ray cluster.
"""
