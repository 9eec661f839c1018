"""Examples of the streams, shown in OpenAPI and in ``docs/streams.md``; a test reads them back."""

from __future__ import annotations

SSE_EXAMPLE = """\
id: 0:-1:-1
event: state
data: {"number":0,"state":"queued","at":"2026-01-05T10:00:00Z","attempt":0,"cause":"waiting for a free slot"}

id: 0:0:0
event: frame
data: {"attempt":0,"seq":0,"step":1,"scalars":{"loss":7.62,"lr":0.1,"frames_dropped":0.0}}

id: 0:0:4
event: gap
data: {"attempt":0,"first":1,"last":4,"reason":"absent"}

: well

id: 3:0:5
event: state
data: {"number":3,"state":"succeeded","at":"2026-01-05T10:01:00Z","attempt":0,"cause":"all steps are done"}

id: 3:0:5
event: end
data: {"state":"succeeded","final":true}

"""

NDJSON_EXAMPLE = """\
{"event":"frame","id":"0:0:0","data":{"attempt":0,"seq":0,"step":2,"scalars":{"loss":7.5},\
"points":{"loss":{"steps":[1,2],"values":[7.62,7.5]}}}}
{"event":"end","id":"3:0:0","data":{"state":"succeeded","final":true}}
"""
