package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// LoadOptions are the sources of a configuration. Nothing is read that is not
// named here.
type LoadOptions struct {
	// Path is the file, and its name in problems. Empty for none: everything then
	// comes from the environment and the flags.
	Path string
	// Data, if not nil, is taken in place of the file's content.
	Data []byte
	// Role says for which command the configuration must suffice.
	Role Role
	// Environ is in the form of os.Environ; nil for none.
	Environ []string
	// OwnVariables are LATCHKEY_ variables that the command reads itself.
	OwnVariables []string
	// Flags was prepared by RegisterFlags and parsed; nil for none.
	Flags *pflag.FlagSet
}

// Load reads and checks everything. The Report is never nil. The Config is nil
// unless the Report is OK; warnings do not count against it.
func Load(o LoadOptions) (*Config, *Report) {
	found, schema := newFindings(o.Path), schemaOf()
	file, readable := readLayer(found, schema, o)
	env := readEnvironment(found, schema, o.Environ, o.OwnVariables)
	cfg, err := merge(schema, baseOf(o.Path), file, env.values, flagLayer(found, schema, o.Flags))
	if err != nil {
		// Every value was checked on its way in, so this is a mistake of this package.
		found.at(0, "", "cannot be merged: "+err.Error())
		return nil, found.report()
	}
	cfg.overrides, cfg.setsGroup = found.overrides, found.isSet("group.")

	slots := cfg.secrets()
	known := make([]string, len(slots))
	for i, s := range slots {
		known[i] = s.variable
	}
	env.reportUnknown(found, schema, known, readable && found.listsKnown())
	if readable {
		for _, s := range slots {
			s.load(found, o.Role, env.rest)
		}
		(&checker{cfg: cfg, role: o.Role, found: found}).all()
	}
	if report := found.report(); !report.OK() {
		return nil, report
	}
	return cfg, found.report()
}

// readLayer makes the file's layer; readable is false when there was no sense in
// the file, and then nothing can be said about what it lacks.
func readLayer(found *findings, schema *key, o LoadOptions) (layer map[string]any, readable bool) {
	data := o.Data
	if data == nil {
		if o.Path == "" {
			return nil, true
		}
		var ok bool
		if data, ok = readFile(found, o.Path); !ok {
			return nil, false
		}
	}
	root, ok := parseYAML(found, data)
	if !ok {
		return nil, false
	}
	return walkNodes(found, schema, root, baseOf(o.Path)), true
}

func baseOf(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Dir(path)
}

func flagLayer(found *findings, schema *key, flags *pflag.FlagSet) koanf.Provider {
	if flags == nil {
		return nil
	}
	return posflag.ProviderWithFlag(flags, ".", nil, readFlag(found, schema))
}

// merge lays the layers over the defaults and fills a Config. The values have been
// checked; no text is interpreted here but that of prefixes.
func merge(schema *key, base string, file, env map[string]any, flags koanf.Provider) (*Config, error) {
	k := koanf.New(".")
	layers := []koanf.Provider{
		confmap.Provider(defaults(schema, base), ""),
		confmap.Provider(file, ""),
		confmap.Provider(env, "."),
	}
	if flags != nil {
		layers = append(layers, flags)
	}
	for _, layer := range layers {
		if err := k.Load(layer, nil); err != nil {
			return nil, fmt.Errorf("load layer: %w", err)
		}
	}
	cfg := &Config{}
	err := k.UnmarshalWithConf("", cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		DecodeHook: decodePrefix, ErrorUnused: true,
	}})
	if err != nil {
		return nil, fmt.Errorf("fill configuration: %w", err)
	}
	cfg.derive()
	return cfg, nil
}

// derive fills in what follows from other values, and makes lists that are empty
// the same as lists that are absent; but for Links, where that is a difference.
func (c *Config) derive() {
	if len(c.Store.Addresses) == 0 {
		c.Store.Addresses = nil
	}
	if len(c.Broker.TrustedProxies) == 0 {
		c.Broker.TrustedProxies = nil
	}
	c.Broker.PublicURL = strings.TrimRight(c.Broker.PublicURL, "/")
	for i := range c.Portals {
		c.Portals[i].derive()
	}
	for i := range c.Servers {
		c.Servers[i].derive()
	}
}

func decodePrefix(from, to reflect.Type, value any) (any, error) {
	if from.Kind() != reflect.String || to != reflect.TypeFor[netip.Prefix]() {
		return value, nil
	}
	return netip.ParsePrefix(value.(string))
}
