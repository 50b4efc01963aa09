package config

import _ "embed"

// Example is a commented file for a first production start of broker and
// provisioner.
//
//go:embed example.yaml
var Example string
