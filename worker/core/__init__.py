"""The computation alone: no queue, storage, environment or clock."""
