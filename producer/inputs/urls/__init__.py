"""Pictures behind http:// and https:// addresses, fetched by the producer: bounded, and only from where it may."""
