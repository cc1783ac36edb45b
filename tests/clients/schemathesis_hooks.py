"""What schemathesis must be told about this API."""

import schemathesis


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def text(_context: object, value: object) -> bytes:
    """Descriptions are text, and what is no description is text as well."""
    return value if isinstance(value, bytes) else str(value).encode()
