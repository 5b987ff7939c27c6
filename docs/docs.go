// Package docs holds what operators read and programs serve as well: there is one copy of it, and it is here.
package docs

import (
	_ "embed" // what is served
	"slices"
)

//go:embed policy.schema.json
var policySchema []byte

// PolicySchema returns the JSON Schema of policy files.
func PolicySchema() []byte { return slices.Clone(policySchema) }

//go:embed access.schema.json
var accessSchema []byte

// AccessSchema returns the JSON Schema of access files.
func AccessSchema() []byte { return slices.Clone(accessSchema) }
