package broker_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/latchkey-sso/latchkey/broker"
)

// canary has the form of a one-time token and of a claim.
const canary = "aBcCanary0123456789Canary0123456789Canary01234"

// leak returns in which form the canary is in text.
func leak(text string) string {
	forms := map[string]string{
		"plain":   canary,
		"hex":     hex.EncodeToString([]byte(canary)),
		"base64":  base64.RawStdEncoding.EncodeToString([]byte(canary)),
		"decimal": strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
		"part":    canary[10:20],
	}
	for name, form := range forms {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			return name
		}
	}
	return ""
}

type named struct {
	name  string
	value any
}

// secrets returns the canary as every kind of secret.
func secrets(t *testing.T) []named {
	token := ok(broker.ParseOneTimeToken(canary))(t)
	claim, accepted := broker.ParseClaim(canary)
	if !accepted {
		t.Fatal("the canary is no claim")
	}
	secret := broker.NewSecret(canary)
	return []named{
		{"Secret", secret},
		{"LinkToken", broker.LinkToken{Secret: secret}},
		{"OneTimeToken", token},
		{"Claim", claim},
		{"Assertion", broker.Assertion{Secret: secret}},
	}
}

// holders returns values that carry a secret.
func holders(s any) []named {
	type inner struct{ Value any }
	// fmt does not ask the methods of values in unexported fields.
	type hidden struct{ value any }
	type outer struct {
		Inner   inner
		Pointer *inner
	}
	return []named{
		{"itself", s},
		{"pointer", &s},
		{"struct", inner{s}},
		{"pointer to struct", &inner{s}},
		{"struct in struct", outer{inner{s}, &inner{s}}},
		{"slice", []any{s}},
		{"array of structs", [1]inner{{s}}},
		{"map value", map[string]any{"k": s}},
		{"unexported field", hidden{s}},
		{"pointer to unexported field", &hidden{s}},
		{"unexported fields in a slice", []hidden{{s}}},
		{"unexported fields in a map", map[string]hidden{"k": {s}}},
		{"map in an unexported field", hidden{map[string]any{"k": s}}},
	}
}

// requests returns the inputs of the package, as a careless log line has them.
func requests() []named {
	secret := broker.NewSecret(canary)
	token, claim := broker.OneTimeToken{Secret: secret}, broker.Claim{Secret: secret}
	return []named{
		{"AutologinRequest", broker.AutologinRequest{Link: invoices, Token: broker.LinkToken{Secret: secret}}},
		{"Answer", broker.Answer{RedirectURL: secret}},
		{"LoginRequest", broker.LoginRequest{Token: token, Claim: claim}},
		{"FormPost", broker.FormPost{Assertion: broker.Assertion{Secret: secret}}},
		{"ExchangeRequest", broker.ExchangeRequest{ClientSecret: secret, Claim: claim}},
		{"Exchanged", broker.Exchanged{Assertion: broker.Assertion{Secret: secret}}},
		{"Issue", broker.Issue{Token: token}},
		{"Redeem", broker.Redeem{Token: token, Claim: claim}},
		{"Portal", broker.Portal{ClientSecret: secret}},
		{"unexported Secret", struct{ secret broker.Secret }{secret}},
		{"unexported OneTimeToken", struct{ token broker.OneTimeToken }{token}},
		{"unexported LoginRequest", struct{ r broker.LoginRequest }{broker.LoginRequest{Token: token, Claim: claim}}},
		{"unexported Portal", struct{ p broker.Portal }{broker.Portal{ClientSecret: secret}}},
	}
}

func everything(t *testing.T) []named {
	all := requests()
	for _, s := range secrets(t) {
		for _, h := range holders(s.value) {
			all = append(all, named{s.name + " as " + h.name, h.value})
		}
	}
	return all
}

func TestSecretsDoNotShowInFormats(t *testing.T) {
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%c", "%U", "%t", "%e", "%20v", "%-5s", "%.3s", "%w", "%p", "%!", "%z"}
	for _, s := range everything(t) {
		for _, verb := range verbs {
			got := fmt.Sprintf(verb, s.value)
			if form := leak(got); form != "" {
				t.Errorf("%s with %s: got the secret (%s): %s", s.name, verb, form, got)
			}
		}
		if form := leak(fmt.Sprint(s.value) + fmt.Sprintln(s.value)); form != "" {
			t.Errorf("%s with Sprint: got the secret (%s)", s.name, form)
		}
	}
}

func TestSecretsDoNotShowInJSON(t *testing.T) {
	for _, s := range everything(t) {
		encoded, err := json.Marshal(s.value)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if form := leak(string(encoded)); form != "" {
			t.Errorf("%s: got the secret (%s): %s", s.name, form, encoded)
		}
	}
}

func TestSecretsDoNotShowInSlog(t *testing.T) {
	var out bytes.Buffer
	all := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	handlers := map[string]slog.Handler{"text": slog.NewTextHandler(&out, all), "json": slog.NewJSONHandler(&out, all)}
	for kind, handler := range handlers {
		for _, s := range everything(t) {
			out.Reset()
			slog.New(handler).With("with", s.value).WithGroup("group").Info("message", "plain", s.value, slog.Group("g", slog.Any("any", s.value)))
			if form := leak(out.String()); form != "" {
				t.Errorf("%s in slog's %s: got the secret (%s): %s", s.name, kind, form, out.String())
			}
		}
	}
}

func TestSecretsDoNotShowInZap(t *testing.T) {
	var out bytes.Buffer
	encoders := map[string]zapcore.Encoder{
		"json":    zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
		"console": zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
	}
	for kind, encoder := range encoders {
		logger := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&out), zapcore.DebugLevel))
		for _, s := range everything(t) {
			out.Reset()
			logger.With(zap.Any("with", s.value)).Info("message", zap.Any("any", s.value), zap.Reflect("reflect", s.value))
			logger.Sugar().Infow("sugar", "key", s.value)
			logger.Sugar().Info("sugar", s.value)
			if form := leak(out.String()); form != "" {
				t.Errorf("%s in zap's %s: got the secret (%s): %s", s.name, kind, form, out.String())
			}
			if strings.Contains(out.String(), "PANIC") {
				t.Errorf("%s in zap's %s: got a panic: %s", s.name, kind, out.String())
			}
		}
	}
}

func TestSecretIsKnownByItsText(t *testing.T) {
	for _, s := range secrets(t) {
		got := s.value.(interface {
			Reveal() string
			IsZero() bool
		})
		if got.Reveal() != canary || got.IsZero() {
			t.Errorf("%s: got text %q, zero %v, want %q, false", s.name, got.Reveal(), got.IsZero(), canary)
		}
		if text := fmt.Sprint(s.value); text != "[redacted]" {
			t.Errorf("%s: got %q, want [redacted]", s.name, text)
		}
	}
	if zero := (broker.Secret{}); !zero.IsZero() || zero.Reveal() != "" || zero.String() != "[redacted]" {
		t.Errorf("zero secret: got zero %v, text %q, printed %q", zero.IsZero(), zero.Reveal(), zero)
	}
}
