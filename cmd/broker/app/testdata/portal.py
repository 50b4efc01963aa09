"""Verifies an assertion of a running broker, by the example of the portal kit.

Usage: portal.py JWKS_URI AUDIENCE ISSUER < assertion

Prints header and claims as JSON. A refusal is exit code 1 with its reason on
standard output. The portal's origin is its audience.
"""

import json
import os
import sys
import time
import urllib.request

import jwt

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "..", "..", "deploy", "portal-kit"))
import verify  # noqa: E402


def main() -> int:
    jwks_uri, audience, issuer = sys.argv[1:]
    assertion = sys.stdin.read()
    with urllib.request.urlopen(jwks_uri, timeout=30) as answer:
        keys = json.load(answer)
    try:
        claims = verify.verify(assertion, keys, issuer, audience, audience, time.time())
    except verify.Refused as refusal:
        print(json.dumps({"refused": str(refusal)}))
        return 1
    print(json.dumps({"header": jwt.get_unverified_header(assertion), "claims": claims}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
