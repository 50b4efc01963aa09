package config

// Config is the whole configuration. Every field stands for one key of the file;
// the tags mean:
//
//	koanf    the key's name
//	default  what holds when no source sets it
//	choices  the values it may have
//	help     what `--help` says about it
//	is       "path": a file or directory; "text": may have several lines
//
// Fields without a key hold what Load derived, secrets above all.
type Config struct {
	Store       Store       `koanf:"store"`
	Broker      Broker      `koanf:"broker"`
	Provisioner Provisioner `koanf:"provisioner"`
	Portals     []Portal    `koanf:"portals"` // no default; one at least
	Servers     []Server    `koanf:"servers"` // no default; one at least

	Subscribers Subscribers `koanf:"subscribers"`
	Group       Group       `koanf:"group"`

	// Links is the catalogue that the file asks for. Nil means that the file does
	// not speak of links, which asks for the default catalogue; empty but not nil
	// (`links: []`) asks for no links at all.
	Links []Link `koanf:"links"`

	// AppPrefix begins the name of every app that is ours: 1 to 32 of a-z, 0-9
	// and _. Changing it orphans the links that were written under the old one.
	AppPrefix string `koanf:"app_prefix" default:"latchkey_" help:"begins the name of every app that is ours on WHM"`

	// overrides names the variable or flag that set a key; Effective shows it.
	overrides map[string]string
	// setsGroup: some source sets a key of group.
	setsGroup bool
}

// DefaultCatalogue reports whether the file leaves the links to the default
// catalogue.
func (c *Config) DefaultCatalogue() bool { return c.Links == nil }

// SetsGroup reports whether the file, a variable or a flag says something about the
// group, be it the default.
func (c *Config) SetsGroup() bool { return c.setsGroup }

// App is the link's name on WHM.
func (c *Config) App(l Link) string { return c.AppPrefix + l.ID }

// Portal finds a portal by its id.
func (c *Config) Portal(id string) (Portal, bool) {
	for _, p := range c.Portals {
		if p.ID == id {
			return p, true
		}
	}
	return Portal{}, false
}

// Server finds a server by its id.
func (c *Config) Server(id string) (Server, bool) {
	for _, s := range c.Servers {
		if s.ID == id {
			return s, true
		}
	}
	return Server{}, false
}

// Role says which command the configuration is for. Roles add up: a process that
// is broker and provisioner at once passes RoleBroker|RoleProvisioner. The zero
// Role checks values and how they go together, needs neither portals nor servers
// nor a public URL, and opens no file but the configuration itself.
type Role uint8

// The roles.
const (
	RoleBroker Role = 1 << iota
	RoleProvisioner
)

func (r Role) has(other Role) bool { return r&other != 0 }

// Default is the configuration when nothing is set: not valid for any Role, since
// portals, servers and the public URL have no default.
func Default() *Config {
	cfg, err := merge(schemaOf(), "", nil, nil, nil)
	if err != nil {
		panic("config: the defaults do not fit the structs: " + err.Error()) // held by a test
	}
	return cfg
}

// ServerIDs returns the ids of the servers, in the order of the configuration.
func (c *Config) ServerIDs() []string {
	var ids []string
	for _, s := range c.Servers {
		ids = append(ids, s.ID)
	}
	return ids
}
