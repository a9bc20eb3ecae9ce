"""One process, one device: takes chunks from the queue, explains their images, commits the results."""
