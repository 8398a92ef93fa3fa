"""Pipelines as files: where they are (folders), reading and writing them (loading), writing that nothing spoils (files)."""
