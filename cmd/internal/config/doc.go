// Package config reads the one configuration file that the commands share and
// says everything that is wrong with it at once.
//
// It owns the keys, their defaults, their rules and the wording of problems. It
// does not own what the values are for: of this module it knows only broker.Secret,
// and it opens no connection and listens on nothing.
//
// # The flow
//
// The structs (Config, Store, Broker, ...) are the only list of keys. Their tags
// carry name, default, choices and help text, and the schema read from them by
// reflection drives everything else: the file's key check, the environment, the
// flags and Effective. A new key is one struct field and, if it has a rule, a few
// lines below that struct.
//
// Load goes through these steps:
//
//  1. The file is parsed into YAML nodes, because nodes know their lines. A walk
//     along the schema reports unknown and duplicate keys and values of a wrong
//     type, each with its line, and leaves a map of checked values.
//  2. Environment variables and flags are converted by the same functions, so a
//     bad duration reads the same wherever it comes from.
//  3. koanf merges the four layers (defaults, file, environment, flags; the later
//     wins) and fills the Config. A list counts as one value: it is replaced, not
//     merged.
//  4. Values that follow from others are filled in: a portal's audience and
//     fallback from its login URL, and the port of a server's WHM.
//  5. Secrets are read, from their environment variable or from their file.
//  6. Each section's rules run. A rule names a key; where the key's value came
//     from (line, variable or flag) is looked up when the problem is noted. A key
//     that already failed step 1 or 2 is not complained about twice.
//
// # Roles
//
// One file serves machines that should not hold each other's secrets: the broker
// faces the internet and has no business with WHM tokens. So the form of every
// value is always checked, but what must be present, and which files are opened,
// depends on the Role.
//
// # Choices a newcomer would question
//
// Relative paths in the file (and the defaults) are relative to the file's
// directory, so that a service starts the same from everywhere; paths in flags
// and variables are relative to the working directory, as a shell user expects.
//
// An environment variable that is set but empty counts as not set: compose files
// and charts pass empty variables on all the time. A flag may be empty.
//
// public_url has no default although the design's listing shows a value: a broker
// that issues links to a stranger's host name must not start.
//
// Kubernetes adds variables such as LATCHKEY_SERVICE_HOST to every pod beside a
// Service named latchkey. They are recognised by that pattern and passed over;
// any other unknown LATCHKEY_ variable is a problem, because a misspelt one would
// otherwise do nothing in silence.
package config
