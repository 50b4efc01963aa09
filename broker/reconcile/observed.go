package reconcile

import (
	"errors"
	"fmt"
	"slices"
)

// observed is what was seen of an account on its server.
type observed struct {
	failed  error    // it could not be looked at
	looked  bool     // apps were listed
	apps    []string // that the account has
	asked   bool     // groups were listed
	groups  []string
	configs map[string]map[string]string // of the apps that were looked at
}

func (o observed) has(app string) bool { return slices.Contains(o.apps, app) }

// look takes the answer to GetLink.
func (o *observed) look(app string, reply Reply) {
	if reply.Err != nil {
		o.failed = errors.Join(o.failed, fmt.Errorf("%s: %w", app, reply.Err))
		return
	}
	if o.configs == nil {
		o.configs = map[string]map[string]string{}
	}
	o.configs[app] = reply.Config
}
