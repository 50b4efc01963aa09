package corpus_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/latchkey-sso/latchkey/deploy/portal-kit/corpus"
)

// faults are the lax verifiers, and a case by which each must be found.
func faults() map[string]string {
	return map[string]string{
		"white space":                  "form: a line end behind",
		"size":                         "size: a long claim",
		"fourth segment":               "form: a dot behind",
		"padding":                      "base64: padding behind the payload",
		"standard base64":              "base64: standard alphabet in the payload",
		"loose bits":                   "base64: loose bits behind the payload",
		"line ends":                    "base64: a line end in the payload, signed",
		"byte order mark":              "payload: a byte order mark",
		"text behind":                  "payload: text behind",
		"duplicates":                   "duplicate: sub, another first",
		"UTF-8":                        "payload: sub not UTF-8",
		"case of names":                "sub: under the name Sub",
		"typ":                          "typ: of an access token",
		"typ missing":                  "typ: missing",
		"case of typ":                  "typ: in another case",
		"crit":                         "crit: unknown",
		"signature":                    "signature: EdDSA of other claims",
		"none":                         "alg: none for somebody else",
		"jwk":                          "brought: jwk",
		"x5c":                          "brought: x5c",
		"kid":                          "kid: unknown",
		"kid missing":                  "kid: missing",
		"use":                          "key: for encryption",
		"HMAC with PEM":                "confusion: HS256 with the key rsa, PEM",
		"HMAC with DER":                "confusion: HS256 with the key p256, DER",
		"HMAC with JWK":                "confusion: HS256 with the key rsa, JWK",
		"HMAC with the raw key":        "confusion: HS256 with the key ed25519, raw",
		"alg":                          "alg: PS256",
		"alg of the key":               "alg: ES256 over a signature of the key rsa",
		"curve":                        "key: P-384 under ES256",
		"DER":                          "signature: ES256 in DER",
		"size of RSA":                  "key: RSA of 1024 bits",
		"iss":                          "iss: another broker",
		"beginning of iss":             "iss: more behind",
		"slash behind iss":             "iss: a slash behind",
		"aud":                          "aud: another portal",
		"others in aud":                "aud: an array with another behind",
		"beginning of aud":             "aud: more behind",
		"part of aud":                  "aud: its beginning",
		"case of aud":                  "aud: in upper case",
		"aud missing":                  "aud: aud missing",
		"times as text":                "time: nbf a number in a string",
		"times before 1970":            "time: auth_time negative",
		"exp":                          "time: exp 11 s ago",
		"exp missing":                  "time: exp missing",
		"nbf":                          "time: nbf in 11 s",
		"nbf missing":                  "time: nbf missing",
		"iat":                          "time: iat in 11 s",
		"iat missing":                  "time: iat missing",
		"auth_time":                    "time: auth_time in 11 s",
		"auth_time missing":            "time: auth_time missing",
		"a leeway of a day":            "time: exp an hour ago",
		"order of times":               "time: exp before iat",
		"life":                         "time: a life of 301 s",
		"sub":                          "sub: sub empty",
		"length of sub":                "sub: of 256 bytes",
		"jti":                          "jti: jti missing",
		"length of jti":                "jti: of 256 bytes",
		"target_link_uri":              "target: another host",
		"beginning of target_link_uri": "target: our host in front",
		"host of target_link_uri":      "target: another port",
	}
}

func TestLaxVerifiersAreFound(t *testing.T) {
	wantSaid(t, "../../docs/guarantees.md", fmt.Sprintf("%d verifiers with one fault each", len(faults())))
	all := read(t)
	for fault, name := range faults() {
		t.Run(fault, func(t *testing.T) {
			at := slices.IndexFunc(all.Cases, func(c corpus.Case) bool { return c.Name == name })
			if at < 0 {
				t.Fatalf("the corpus has no case %q", name)
			}
			if !misjudged(judge{all, fault}, all.Cases[at]) {
				t.Errorf("judged %q right, want it misjudged", name)
			}
		})
	}
}

func TestAVerifierWithoutFaultsPasses(t *testing.T) {
	all := read(t)
	for _, c := range all.Cases {
		if misjudged(judge{all, ""}, c) {
			t.Errorf("misjudged: %q", c.Name)
		}
	}
}

func misjudged(j judge, c corpus.Case) bool {
	got, err := j.verify(c.Assertion)
	return c.Accept != (err == nil) || c.Accept && got != (judgement{c.Subject, c.TargetLinkURI})
}
