"""A job's results: records, the objects behind them, downloads, tables, retries."""
