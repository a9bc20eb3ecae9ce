"""The HTTP API under /v1: submit, follow, read and manage jobs from any language.

Litestar routes, validates and describes it; the live page's server and guard stand before it.
"""

#: Everything of the API is below this path; another version would have another.
V1 = "/v1"
#: This package, whose template the page of documentation is made from.
HTTP = __name__
