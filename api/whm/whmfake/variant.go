package whmfake

import "strings"

// Variant is how one version of WHM answers where versions differ, or where no
// document says. The zero Variant is what the documentation shows.
type Variant struct {
	// StringResult: metadata.result is "1" and not 1.
	StringResult bool
	// NullData: data is null where there is nothing to tell, and not {}.
	NullData bool
	// NoData: data is missing where there is nothing to tell. It wins over NullData.
	NoData bool
	// NullLists: an empty list is null and not [].
	NullLists bool
	// ObjectLists: a list of links, groups or accounts is an object with a key for
	// each entry.
	ObjectLists bool
	// BareConfig: a userconfig has neither app nor user.
	BareConfig bool
	// TypedConfig: order and hide of a userconfig are a number and a boolean, and
	// empty fields are there as null.
	TypedConfig bool
	// LaxUpdate: update_integration_link_token succeeds for a link that is not
	// there, without creating it.
	LaxUpdate bool
	// FailedBatch: the result of a batch is 0 when one of its commands failed.
	FailedBatch bool
	// StrictBatch: one function in a batch that the token may not call, or that is
	// not there, fails the whole batch before anything is executed.
	StrictBatch bool
	// FirstPageAgain: a page past the end is the first page, and not empty.
	FirstPageAgain bool
	// NoChunks: the server ignores api.chunk.* and api.columns.*.
	NoChunks bool
	// SilentChunks: pages come without metadata.chunk.
	SilentChunks bool
}

func (v *Variant) switches() []struct {
	on   *bool
	name string
} {
	return []struct {
		on   *bool
		name string
	}{
		{&v.StringResult, "string-result"},
		{&v.NullData, "null-data"},
		{&v.NoData, "no-data"},
		{&v.NullLists, "null-lists"},
		{&v.ObjectLists, "object-lists"},
		{&v.BareConfig, "bare-config"},
		{&v.TypedConfig, "typed-config"},
		{&v.LaxUpdate, "lax-update"},
		{&v.FailedBatch, "failed-batch"},
		{&v.StrictBatch, "strict-batch"},
		{&v.FirstPageAgain, "first-page-again"},
		{&v.NoChunks, "no-chunks"},
		{&v.SilentChunks, "silent-chunks"},
	}
}

// Variants returns the documented one, each switch alone, all that go together
// at once, and some pairs that meet in one answer.
func Variants() []Variant {
	all := []Variant{{}}
	for i := range (&Variant{}).switches() {
		var v Variant
		*v.switches()[i].on = true
		all = append(all, v)
	}
	var most Variant
	for _, s := range most.switches() {
		*s.on = true
	}
	most.NoChunks = false // it would hide FirstPageAgain and SilentChunks
	return append(all, most,
		Variant{StringResult: true, NoData: true, FailedBatch: true},
		Variant{BareConfig: true, TypedConfig: true},
		Variant{FirstPageAgain: true, SilentChunks: true},
	)
}

// String names the variant, for instance "documented" or "null-data,lax-update".
func (v Variant) String() string {
	var words []string
	for _, s := range v.switches() {
		if *s.on {
			words = append(words, s.name)
		}
	}
	if len(words) == 0 {
		return "documented"
	}
	return strings.Join(words, ",")
}
