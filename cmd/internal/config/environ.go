package config

import (
	"fmt"
	"slices"
	"strings"
)

const variablePrefix = "LATCHKEY_"

// variableOf is the environment variable of a key: broker.tls.cert_file is
// LATCHKEY_BROKER_TLS_CERT_FILE.
func variableOf(path string) string {
	return variablePrefix + variablePart(path)
}

// variablePart makes an id or key fit for a variable's name: upper case, and _
// for everything that is not a letter or digit.
func variablePart(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, text)
}

func portalSecretVariable(id string) string {
	return variablePrefix + "PORTALS_" + variablePart(id) + "_CLIENT_SECRET"
}

func serverTokenVariable(id string) string {
	return variablePrefix + "SERVERS_" + variablePart(id) + "_TOKEN"
}

func serverHookSecretVariable(id string) string {
	return variablePrefix + "SERVERS_" + variablePart(id) + "_HOOK_SECRET"
}

// orVariable ends a sentence with the variable of an id, if there is an id.
func orVariable(id string, variable func(string) string) string {
	if id == "" {
		return ""
	}
	return ", or set " + variable(id)
}

// environment is what the process was given in LATCHKEY_ variables.
type environment struct {
	values map[string]any    // layer of configuration, by dotted key
	rest   map[string]string // variables that set no key: secrets and mistakes
}

// readEnvironment sorts the variables. Those of own belong to the command and are
// passed over. A variable that is empty counts as not set.
func readEnvironment(found *findings, schema *key, environ, own []string) environment {
	env := environment{values: map[string]any{}, rest: map[string]string{}}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, variablePrefix) && value != "" && !slices.Contains(own, name) {
			env.rest[name] = value
		}
	}
	env.forgetServiceLinks()
	for _, k := range schema.settable() {
		name := variableOf(k.path)
		text, ok := env.rest[name]
		if !ok {
			continue
		}
		delete(env.rest, name)
		source := "environment " + name
		value, problem := convertLine(k, text)
		if problem != "" {
			found.from(source, k.path, problem)
			found.broken[k.path] = true
			continue
		}
		env.values[k.path] = value
		found.overrides[k.path] = source
		delete(found.broken, k.path) // it replaces what the file has, good or bad
	}
	return env
}

// forgetServiceLinks drops what Kubernetes adds for every Service whose name
// begins with latchkey: X_SERVICE_HOST, and beside it X_SERVICE_PORT..., X_PORT...
func (e environment) forgetServiceLinks() {
	var services []string
	for name := range e.rest {
		if service, ok := strings.CutSuffix(name, "_SERVICE_HOST"); ok {
			services = append(services, service)
		}
	}
	for _, service := range services {
		for name := range e.rest {
			if name == service+"_PORT" || strings.HasPrefix(name, service+"_PORT_") || strings.HasPrefix(name, service+"_SERVICE_") {
				delete(e.rest, name)
			}
		}
	}
}

// reportUnknown notes the variables that nothing asked for. known are the secrets'
// variables; when the lists could not be read, theirs are not judged.
func (e environment) reportUnknown(found *findings, schema *key, known []string, listsKnown bool) {
	candidates := slices.Clone(known)
	for _, k := range schema.settable() {
		candidates = append(candidates, variableOf(k.path))
	}
	names := make([]string, 0, len(e.rest))
	for name := range e.rest {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(known, name) || !listsKnown && ofAList(name) {
			continue
		}
		message := "is unknown: remove it"
		if near := closest(name, candidates); near != "" {
			message = fmt.Sprintf("is unknown; did you mean %s?", near)
		} else if ofAList(name) {
			message = "is unknown: no portal or server of the file has this id (only their secrets have variables)"
		}
		found.from("environment "+name, "", message)
	}
}

func ofAList(name string) bool {
	return strings.HasPrefix(name, variablePrefix+"PORTALS_") || strings.HasPrefix(name, variablePrefix+"SERVERS_")
}
