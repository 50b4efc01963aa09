package config

import _ "embed"

// Example is a commented file for a first production start of the broker.
//
//go:embed example.yaml
var Example string
