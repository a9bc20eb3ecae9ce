"""From pictures to a tracked job: the request is checked, pictures are uploaded, chunks are registered."""
