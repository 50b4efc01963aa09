package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// flagMark tells our flags from those that a command has for itself.
const flagMark = "latchkey_config_key"

// RegisterFlags adds one flag to fs for each key outside of the lists portals,
// servers and links: --broker.listen, --store.tls.enabled, ... Lists are given
// with commas or by repeating the flag. Values are checked by Load, so that a bad
// one is reported together with everything else.
func RegisterFlags(fs *pflag.FlagSet) {
	for _, k := range schemaOf().settable() {
		help := k.help
		if k.choices != nil {
			help += ": " + strings.Join(k.choices, "|")
		}
		value := &flagValue{text: k.def, kind: k.kind}
		flag := fs.VarPF(value, k.path, "", help)
		if k.kind == kindBool {
			flag.NoOptDefVal = "true"
		}
		flag.Annotations = map[string][]string{flagMark: {k.path}}
	}
}

// flagValue holds a flag's text as given.
type flagValue struct {
	text  string
	kind  kind
	given bool
}

func (v *flagValue) String() string { return v.text }
func (v *flagValue) Type() string   { return v.kind.flagType() }

func (v *flagValue) Set(text string) error {
	if v.given && (v.kind == kindStrings || v.kind == kindPrefixes) {
		text = v.text + "," + text
	}
	v.text, v.given = text, true
	return nil
}

// readFlag gives koanf's provider the key and value of a flag, or "" for one that
// was not given, is not ours or does not fit.
func readFlag(found *findings, schema *key) func(*pflag.Flag) (string, any) {
	keys := map[string]*key{}
	for _, k := range schema.settable() {
		keys[k.path] = k
	}
	return func(f *pflag.Flag) (string, any) {
		if !f.Changed || len(f.Annotations[flagMark]) == 0 {
			return "", nil
		}
		k, source := keys[f.Name], "flag --"+f.Name
		value, problem := convertLine(k, f.Value.String())
		if problem != "" {
			found.from(source, k.path, problem)
			found.broken[k.path] = true
			return "", nil
		}
		found.overrides[k.path] = source
		delete(found.broken, k.path)
		return k.path, value
	}
}
