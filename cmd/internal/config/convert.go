package config

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// convert makes the value of a scalar key from its text, whatever source it is
// from. Relative paths are taken from base. A value that does not fit gives the
// words of the problem instead.
func convert(k *key, text, base string) (value any, problem string) {
	switch k.kind {
	case kindBool:
		switch text {
		case "true":
			return true, ""
		case "false":
			return false, ""
		}
	case kindInt:
		if n, err := strconv.Atoi(text); err == nil {
			return n, ""
		}
	case kindFloat:
		if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, ""
		}
	case kindDuration:
		d, err := time.ParseDuration(text)
		if err == nil {
			return d, ""
		}
		return nil, durationProblem(text)
	default:
		return convertText(k, text, base)
	}
	return nil, fmt.Sprintf("must be %s, not %s", k.kind.noun(), quote(text))
}

func durationProblem(text string) string {
	problem := fmt.Sprintf("must be %s, not %s", kindDuration.noun(), quote(text))
	number, unit := strings.TrimRight(text, "d"), strings.HasSuffix(text, "d")
	if n, err := strconv.Atoi(number); err == nil && n > 0 && n < 36500 {
		if unit {
			return fmt.Sprintf("%s: %d days are %dh", problem, n, 24*n)
		}
		return fmt.Sprintf("%s: add a unit, e.g. %ds", problem, n)
	}
	return problem
}

func convertText(k *key, text, base string) (any, string) {
	if !utf8.ValidString(text) {
		return nil, "must be UTF-8 text"
	}
	for _, r := range text {
		if unicode.IsControl(r) && (k.is != "text" || !strings.ContainsRune("\n\r\t", r)) {
			return nil, fmt.Sprintf("must not contain control characters: remove %q", r)
		}
	}
	if k.choices != nil && !slices.Contains(k.choices, text) {
		problem := fmt.Sprintf("must be one of %s, not %s", strings.Join(k.choices, ", "), quote(text))
		if near := closest(text, k.choices); near != "" {
			problem += fmt.Sprintf("; did you mean %s?", near)
		}
		return nil, problem
	}
	if k.is == "path" && text != "" && !filepath.IsAbs(text) {
		return filepath.Join(base, text), ""
	}
	return text, ""
}

// convertItem makes one entry of a string list. Prefixes stay texts until koanf has
// merged the layers, because it copies structs without their unexported fields.
func convertItem(k *key, text string) (value any, problem string) {
	if k.kind == kindPrefixes {
		prefix, ok := parsePrefix(text)
		if !ok {
			return nil, fmt.Sprintf("must be an IP address or a CIDR such as 10.0.0.0/8, not %s", quote(text))
		}
		return prefix.String(), ""
	}
	if text == "" {
		return nil, "must not be empty: remove the entry"
	}
	return convertText(&key{kind: kindString}, text, "")
}

// parsePrefix takes "10.0.0.7" and "10.0.0.0/8". An IPv4 address in IPv6 clothes
// becomes IPv4, as that is how it arrives on a socket.
func parsePrefix(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), true
}

// convertLine makes the value of a key from one line of text, as flags and
// variables have it: lists are separated by commas.
func convertLine(k *key, text string) (value any, problem string) {
	if k.kind != kindStrings && k.kind != kindPrefixes {
		return convert(k, text, "")
	}
	list := []any{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		v, problem := convertItem(k, part)
		if problem != "" {
			return nil, "each entry " + problem
		}
		list = append(list, v)
	}
	return list, ""
}

// defaults is the layer of the keys' defaults. Lists of sections have none.
func defaults(k *key, base string) map[string]any {
	values := map[string]any{}
	for _, c := range k.children {
		switch {
		case c.kind == kindSection:
			values[c.name] = defaults(c, base)
		case c.kind == kindList || !c.hasDef:
		case c.kind == kindStrings || c.kind == kindPrefixes:
			values[c.name] = must(convertLine(c, c.def))
		default:
			values[c.name] = must(convert(c, c.def, base))
		}
	}
	return values
}

// must is for defaults, which a test holds to be valid.
func must(value any, problem string) any {
	if problem != "" {
		panic("config: bad default: " + problem)
	}
	return value
}

// duration writes a duration the way people do: 2160h, not 2160h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// quote shows a value in a problem, shortened.
func quote(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}
