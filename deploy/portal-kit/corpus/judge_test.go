package corpus_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/latchkey-sso/latchkey/deploy/portal-kit/corpus"
)

// judge is a verifier with one fault: lax names what it is lax about, "" is nothing.
// It is for finding out whether the corpus notices, so each fault is a plain one.
type judge struct {
	*corpus.Corpus
	lax string
}

// judgement is what an accepted assertion says.
type judgement struct{ subject, target string }

var errRefused = errors.New("refused")

func (j judge) verify(assertion string) (judgement, error) {
	if j.lax == "white space" {
		assertion = strings.TrimSpace(assertion)
	}
	if j.lax != "size" && len(assertion) > j.Limits.Assertion {
		return judgement{}, errRefused
	}
	parts := strings.Split(assertion, ".")
	if len(parts) < 3 || len(parts) > 3 && j.lax != "fourth segment" {
		return judgement{}, errRefused
	}
	header, err := j.object(parts[0])
	if err != nil {
		return judgement{}, err
	}
	claims, err := j.object(parts[1])
	if err != nil {
		return judgement{}, err
	}
	signature, err := j.decode(parts[2])
	if err != nil {
		return judgement{}, err
	}
	if !j.typed(header) || !j.signed(header, parts[0]+"."+parts[1], signature) ||
		!j.addressed(claims) || !j.timely(claims) || !j.named(claims) {
		return judgement{}, errRefused
	}
	subject, _ := claims["sub"].(string)
	target, _ := claims["target_link_uri"].(string)
	return judgement{subject, target}, nil
}

func (j judge) decode(segment string) ([]byte, error) {
	switch j.lax {
	case "padding":
		segment = strings.TrimRight(segment, "=")
	case "standard base64":
		segment = strings.NewReplacer("+", "-", "/", "_").Replace(segment)
	case "loose bits":
		return base64.RawURLEncoding.DecodeString(segment)
	}
	if j.lax != "line ends" && strings.ContainsAny(segment, "\r\n") {
		return nil, errRefused
	}
	return base64.RawURLEncoding.Strict().DecodeString(segment)
}

func (j judge) object(segment string) (map[string]any, error) {
	text, err := j.decode(segment)
	if err != nil {
		return nil, err
	}
	switch j.lax {
	case "byte order mark":
		text = []byte(strings.TrimPrefix(string(text), "\ufeff"))
	case "text behind":
		if end := strings.LastIndexByte(string(text), '}'); end >= 0 {
			text = text[:end+1]
		}
	}
	var object map[string]any
	err = json.Unmarshal(text, &object,
		jsontext.AllowDuplicateNames(j.lax == "duplicates"), jsontext.AllowInvalidUTF8(j.lax == "UTF-8"))
	if err != nil {
		return nil, err
	}
	if j.lax == "case of names" {
		for name, value := range object {
			object[strings.ToLower(name)] = value
		}
	}
	return object, nil
}

func (j judge) typed(header map[string]any) bool {
	typ, _ := header["typ"].(string)
	if j.lax == "case of typ" {
		typ = strings.ToLower(typ)
	}
	if typ != "latchkey+jwt" && j.lax != "typ" && (j.lax != "typ missing" || header["typ"] != nil) {
		return false
	}
	_, critical := header["crit"]
	return !critical || j.lax == "crit"
}

// signed finds the keys that may have signed, and tries them.
func (j judge) signed(header map[string]any, input string, signature []byte) bool {
	alg, _ := header["alg"].(string)
	if j.lax == "signature" || j.lax == "none" && strings.EqualFold(alg, "none") {
		return true
	}
	kid, _ := header["kid"].(string)
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(j.JWKS, &set, json.MatchCaseInsensitiveNames(true)); err != nil {
		panic(err)
	}
	if brought, ok := header["jwk"].(map[string]any); ok && j.lax == "jwk" {
		return j.fits(alg, publicKey(brought), input, signature)
	}
	if chain, ok := header["x5c"].([]any); ok && j.lax == "x5c" {
		der, _ := base64.StdEncoding.DecodeString(chain[0].(string))
		certificate, err := x509.ParseCertificate(der)
		return err == nil && j.fits(alg, certificate.PublicKey, input, signature)
	}
	for _, k := range set.Keys {
		if k["kid"] != kid && j.lax != "kid" && (j.lax != "kid missing" || header["kid"] != nil) {
			continue
		}
		if k["use"] != "sig" && j.lax != "use" {
			continue
		}
		if j.fits(alg, publicKey(k), input, signature) {
			return true
		}
	}
	return false
}

// fits verifies the signature by a key that is of the kind that alg needs.
func (j judge) fits(alg string, public crypto.PublicKey, input string, signature []byte) bool {
	if strings.HasPrefix(alg, "HS") && len(alg) == 5 {
		return hmac.Equal(withSecret(alg, j.secret(public))([]byte(input)), signature) && strings.HasPrefix(j.lax, "HMAC")
	}
	hash := crypto.SHA256
	if j.lax == "alg" && (strings.HasSuffix(alg, "384") || strings.HasSuffix(alg, "512")) {
		hash = hashOf(alg)
	}
	digest := digestOf(hash, []byte(input))
	switch key := public.(type) {
	case ed25519.PublicKey:
		return (alg == "EdDSA" || j.lax == "alg of the key") && ed25519.Verify(key, []byte(input), signature)
	case *ecdsa.PublicKey:
		size := (key.Params().BitSize + 7) / 8
		switch {
		case alg != "ES256" && j.lax != "alg of the key" && (alg != "ES384" || j.lax != "alg"):
			return false
		case key.Curve != elliptic.P256() && j.lax != "curve" && j.lax != "alg":
			return false
		case j.lax == "DER" && ecdsa.VerifyASN1(key, digest, signature):
			return true
		case len(signature) != 2*size:
			return false
		}
		half := len(signature) / 2
		return ecdsa.Verify(key, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	case *rsa.PublicKey:
		switch {
		case key.N.BitLen() < 2048 && j.lax != "size of RSA":
			return false
		case alg == "RS256" || j.lax == "alg of the key" || j.lax == "alg" && strings.HasPrefix(alg, "RS"):
			return rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
		case j.lax == "alg" && strings.HasPrefix(alg, "PS"):
			return rsa.VerifyPSS(key, hash, digest, signature, nil) == nil
		}
	}
	return false
}

// secret is a public key where a library takes it for text.
func (j judge) secret(public crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil
	}
	switch j.lax {
	case "HMAC with PEM":
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	case "HMAC with DER":
		return der
	case "HMAC with JWK":
		return marshal(jwk(public))
	case "HMAC with the raw key":
		switch key := public.(type) {
		case ed25519.PublicKey:
			return key
		case *ecdsa.PublicKey:
			return point(key)
		case *rsa.PublicKey:
			return key.N.Bytes()
		}
	}
	return nil
}

func publicKey(k map[string]any) crypto.PublicKey {
	part := func(name string) []byte {
		text, _ := k[name].(string)
		b, _ := base64.RawURLEncoding.DecodeString(text)
		return b
	}
	switch k["kty"] {
	case "OKP":
		return ed25519.PublicKey(part("x"))
	case "EC":
		curve := elliptic.P256()
		if k["crv"] == "P-384" {
			curve = elliptic.P384()
		}
		return must(ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, part("x")...), part("y")...)))
	case "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(part("n")), E: int(new(big.Int).SetBytes(part("e")).Int64())}
	}
	return nil
}

func (j judge) addressed(claims map[string]any) bool {
	iss, _ := claims["iss"].(string)
	switch {
	case iss == j.Issuer, j.lax == "iss":
	case j.lax == "beginning of iss" && strings.HasPrefix(iss, j.Issuer):
	case j.lax == "slash behind iss" && strings.TrimRight(iss, "/") == j.Issuer:
	default:
		return false
	}
	aud, isText := claims["aud"].(string)
	list, _ := claims["aud"].([]any)
	has := false
	for _, a := range list {
		has = has || a == j.Audience
	}
	switch {
	case j.lax == "aud", isText && aud == j.Audience, len(list) == 1 && has:
		return true
	case j.lax == "others in aud":
		return has
	case j.lax == "beginning of aud":
		return strings.HasPrefix(aud, j.Audience)
	case j.lax == "part of aud":
		return isText && aud != "" && strings.Contains(j.Audience, aud)
	case j.lax == "case of aud":
		return strings.EqualFold(aud, j.Audience)
	case j.lax == "aud missing":
		return claims["aud"] == nil
	}
	return false
}

func (j judge) timely(claims map[string]any) bool {
	ok := true
	number := func(name string) float64 {
		f, is := claims[name].(float64)
		if text, isText := claims[name].(string); isText && j.lax == "times as text" {
			is = json.Unmarshal([]byte(text), &f) == nil
		}
		ok = ok && (is || j.lax == name+" missing" && claims[name] == nil || j.lax == name)
		return f
	}
	exp, nbf, iat, auth := number("exp"), number("nbf"), number("iat"), number("auth_time")
	ok = ok && (min(nbf, auth) >= 0 || j.lax == "times before 1970")
	now, leeway := float64(j.Now), float64(j.Limits.Leeway)
	if j.lax == "a leeway of a day" {
		leeway = 86400
	}
	switch {
	case !ok:
	case exp+leeway < now && j.lax != "exp" && j.lax != "exp missing":
	case nbf-leeway > now && j.lax != "nbf":
	case iat-leeway > now && j.lax != "iat":
	case auth-leeway > now && j.lax != "auth_time":
	case exp <= iat && j.lax != "order of times" && j.lax != "exp" && j.lax != "exp missing":
	case exp-iat > float64(j.Limits.Life) && j.lax != "life" && j.lax != "iat" && j.lax != "iat missing":
	default:
		return true
	}
	return false
}

func (j judge) named(claims map[string]any) bool {
	for _, name := range []string{"sub", "jti"} {
		text, isText := claims[name].(string)
		if (!isText || text == "") && j.lax != name || len(text) > j.Limits.ID && j.lax != "length of "+name {
			return false
		}
	}
	target, _ := claims["target_link_uri"].(string)
	switch j.lax {
	case "target_link_uri":
		return true
	case "beginning of target_link_uri":
		return strings.HasPrefix(target, j.Origin)
	case "host of target_link_uri":
		u, err := url.Parse(target)
		return err == nil && strings.HasSuffix(j.Origin, "/"+u.Hostname())
	}
	rest, ours := strings.CutPrefix(target, j.Origin)
	if !ours || rest != "" && rest[0] != '/' && rest[0] != '?' {
		return false
	}
	return !strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f })
}
