package whmfake

import (
	"maps"
	"slices"
)

// function is one function of WHM API 1.
type function struct {
	writes bool
	run    func(call, Variant) (data any, err error)
	// runPaged is there instead of run for functions that page.
	runPaged func(call, Variant) (data any, told *chunk, err error)
}

// functions are all but batch, which is made of them.
func (s *Server) functions() map[string]function {
	return map[string]function{
		"create_integration_link":          {writes: true, run: s.createLink},
		"create_integration_group":         {writes: true, run: s.createGroup},
		"update_integration_link_token":    {writes: true, run: s.updateToken},
		"remove_integration_link":          {writes: true, run: s.removeLink},
		"remove_integration_group":         {writes: true, run: s.removeGroup},
		"get_integration_link_user_config": {run: s.linkConfig},
		"list_integration_links":           {run: s.listLinks},
		"list_integration_groups":          {run: s.listGroups},
		"get_users_links":                  {run: s.usersLinks},
		"listaccts":                        {runPaged: s.listAccounts},
		"applist":                          {run: s.appList},
		"version": {run: func(call, Variant) (any, error) {
			return map[string]any{"version": s.version}, nil
		}},
		"gethostname": {run: func(call, Variant) (any, error) {
			return map[string]any{"hostname": s.name}, nil
		}},
	}
}

const batchName = "batch"

// callable reports whether the function is there and the token may call it.
func (s *Server) callable(name string) bool {
	if _, ok := s.table[name]; !ok && name != batchName {
		return false
	}
	return !slices.Contains(*s.missing.Load(), name)
}

func (s *Server) appList(call, Variant) (any, error) {
	apps := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.table)) {
		if s.callable(name) {
			apps = append(apps, name)
		}
	}
	if s.callable(batchName) {
		apps = append(apps, batchName)
		slices.Sort(apps)
	}
	return map[string]any{"app": apps}, nil
}

// execute runs one command and enters it into the journal. A function that is not
// there, or that the token may not call, is not executed.
func (s *Server) execute(c call, entry Call, v Variant) envelope {
	e := envelope{command: c.function}
	f, ok := s.table[c.function]
	if !ok || !s.callable(c.function) {
		e.reason = unknownFunction(c.function)
		return e
	}
	entry.Function, entry.Write = s.texts.shared(c.function), f.writes
	entry.User, entry.App, entry.Group = s.texts.shared(c.get("user")), s.texts.shared(c.get("app")), s.texts.shared(c.get("group_id"))
	if refuse := s.refusal.Load(); refuse != nil && *refuse != nil {
		if sentence := (*refuse)(entry); sentence != "" {
			e.reason = s.failure(sentence)
		}
	}
	if e.ok() {
		var err error
		if f.runPaged != nil {
			e.data, e.chunk, err = f.runPaged(c, v)
		} else {
			e.data, err = f.run(c, v)
		}
		if err != nil {
			e.data, e.chunk, e.reason = nil, nil, s.failure(sentence(err, c))
		}
	}
	entry.OK = e.ok()
	s.journal.add(entry)
	return e
}
