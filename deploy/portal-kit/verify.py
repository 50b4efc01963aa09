#!/usr/bin/env python3
"""Verifies an assertion of Latchkey, in Python with PyJWT, and tries that on the corpus.

    apt-get install python3-jwt python3-cryptography
    python3 verify.py corpus/assertions.json

PyJWT reads the key and checks the signature. All the rest is written out here, because a
library for every kind of JWT is more lenient than a sign-in should be. The corpus says
where: comment a line out and run it again.

To the corpus this prints each case that is judged wrongly, and exits with 1 if there is
one. What is not here: remembering each jti until exp plus LEEWAY, and accepting it once.
"""

import json
import re
import sys
from urllib.parse import urlsplit

import jwt
from jwt.algorithms import Ed25519PublicKey, EllipticCurvePublicKey, RSAPublicKey

LEEWAY = 10  # seconds between the broker's clock and ours
LIFE = 300  # seconds, the longest exp - iat
ID = 255  # bytes, the longest sub and jti
ASSERTION = 16 * 1024  # bytes, before anything is parsed
LATEST = 253402300799  # seconds since 1970, the end of the year 9999


class Refused(Exception):
    """Why an assertion does not count: for the log, not for the browser."""


def want(condition, why):
    if not condition:
        raise Refused(why)


def verify(assertion, keys, issuer, audience, origin, now):
    """Returns the claims of a valid assertion or raises Refused.

    keys are the broker's JWK Set, parsed; now is in seconds since 1970.
    """
    want(len(assertion) <= ASSERTION, "too long")
    segments = assertion.split(".")
    want(len(segments) == 3, "not three segments")
    for segment in segments:
        # Python skips what is not base64; an assertion has one spelling.
        want(jwt.utils.base64url_encode(decode(segment)).decode() == segment, "not strict base64url")

    header = parse(decode(segments[0]))
    want(header.get("typ") == "latchkey+jwt", "typ")
    want("crit" not in header, "crit")
    key = find(keys, header.get("kid"), header.get("alg"))
    try:
        # Only the signature: jwt.decode() would judge the claims by its own rules and clock.
        payload = jwt.api_jws.decode(assertion, key, algorithms=[header["alg"]])
    except (jwt.PyJWTError, ValueError, RecursionError) as refusal:
        # PyJWT parses the header once more, a few calls deeper: what passed above may be too deep here.
        raise Refused(f"signature: {refusal}") from refusal

    claims = parse(payload)
    want(claims.get("iss") == issuer, "iss")
    want(claims.get("aud") in (audience, [audience]), "aud")  # for us, and for nobody else
    for name in ("sub", "jti"):
        value = claims.get(name)
        want(isinstance(value, str) and 0 < len(value.encode()) <= ID, name)
    for name in ("exp", "nbf", "iat", "auth_time"):
        # type(): True is an int to isinstance, and int("1") is a number to PyJWT.
        value = claims.get(name)
        want(type(value) in (int, float), name)
        # Also because an int of hundreds of digits and a float cannot be subtracted.
        want(0 <= value <= LATEST, f"{name} is no time")
    want(claims["exp"] + LEEWAY > now, "exp is past")
    for name in ("nbf", "iat", "auth_time"):
        want(claims[name] - LEEWAY <= now, f"{name} is in the future")
    want(0 < claims["exp"] - claims["iat"] <= LIFE, "lives too long")
    want(leads_to(origin, claims.get("target_link_uri")), "target_link_uri")
    return claims


def decode(segment):
    try:
        return jwt.utils.base64url_decode(segment)
    except ValueError as refusal:
        raise Refused("not base64url") from refusal


def parse(text):
    """Parses a JSON object with unique names, of UTF-8 and of numbers that are numbers."""

    def unique(pairs):
        want(len(dict(pairs)) == len(pairs), "two members of one name")
        return dict(pairs)

    def constant(name):
        raise Refused(f"{name} is not JSON")

    try:
        # decode() first: json.loads() alone would take UTF-16 as well.
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")  # fails on half a surrogate pair
    except (ValueError, RecursionError) as refusal:
        raise Refused("not JSON") from refusal
    want(isinstance(parsed, dict), "not an object")
    return parsed


def find(keys, kid, alg):
    """Returns the published key of that name, if alg is for keys of its kind."""
    want(isinstance(kid, str), "kid")
    named = [k for k in keys["keys"] if isinstance(k, dict) and k.get("kid") == kid and k.get("use") == "sig"]
    found = [key for key in map(read, named) if key is not None]
    want(len(found) == 1, "kid")
    kinds = {
        "EdDSA": lambda k: isinstance(k, Ed25519PublicKey),
        "ES256": lambda k: isinstance(k, EllipticCurvePublicKey) and k.curve.name == "secp256r1",
        "RS256": lambda k: isinstance(k, RSAPublicKey) and k.key_size >= 2048,
    }
    want(isinstance(alg, str) and alg in kinds, "alg")
    want(kinds[alg](found[0]), "alg does not fit the key")
    return found[0]


def read(key):
    """Returns a public key of the JWK Set, None for one of a kind that is not known here."""
    try:
        return jwt.PyJWK(key).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None  # RFC 7517 section 5: ignored, the others stay good


def leads_to(origin, target):
    """Reports whether a page is of our origin. What browsers read differently is refused."""
    if not isinstance(target, str) or not re.fullmatch(r"[!-\[\]-~]+", target):
        return False  # spaces, control characters, backslashes
    try:
        u = urlsplit(target)
        return f"{u.scheme}://{u.netloc}" == origin
    except ValueError:
        return False


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            corpus = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"{path} is no corpus: {error}")
    if corpus["format"] != 1:
        sys.exit(f"{path}: format {corpus['format']}, want 1")
    wrong = 0
    for case in corpus["cases"]:
        try:
            claims = verify(
                case["assertion"], corpus["jwks"], corpus["issuer"], corpus["audience"], corpus["origin"], corpus["now"]
            )
            got = claims["sub"], claims["target_link_uri"]
            right = case["accept"] and got == (case["sub"], case["target_link_uri"])
            verdict = f"accepted, as {got}"
        except Refused as refusal:
            right, verdict = not case["accept"], f"refused: {refusal}"
        if not right:
            wrong += 1
            print(f"{case['name']}: {verdict}. {case['rule']}: {case['why']}")
    print(f"{len(corpus['cases'])} cases, {wrong} judged wrongly")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: verify.py corpus/assertions.json")
    sys.exit(main(sys.argv[1]))
