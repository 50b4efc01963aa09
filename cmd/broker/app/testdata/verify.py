"""Verifies an assertion as a portal would that is written in Python.

Usage: verify.py JWKS_URI ALGORITHM AUDIENCE ISSUER < assertion

Prints header and claims as JSON. A refusal is exit code 1 with its reason on
standard output.
"""

import json
import sys

import jwt


def main() -> int:
    jwks_uri, algorithm, audience, issuer = sys.argv[1:]
    assertion = sys.stdin.read().strip()
    try:
        key = jwt.PyJWKClient(jwks_uri).get_signing_key_from_jwt(assertion)
        claims = jwt.decode(
            assertion,
            key.key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            options={"require": ["exp", "iat", "nbf", "sub", "jti", "aud", "iss"]},
        )
    except jwt.PyJWTError as refusal:
        print(json.dumps({"refused": type(refusal).__name__}))
        return 1
    print(json.dumps({"header": jwt.get_unverified_header(assertion), "claims": claims}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
