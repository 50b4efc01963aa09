package storetest_test

import (
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store/storetest"
)

// call is a call about one token: when it begins and ends (units do not matter), who
// asks ("" issues) and what comes back.
type call struct {
	from, to int
	claim    string
	reply    storetest.Reply
	by       string
}

func TestHistoriesAreUnderstood(t *testing.T) {
	issued := call{0, 1, "", storetest.Issued, ""}
	tests := []struct {
		name             string
		calls            []call
		goneForGood, any bool // whether it follows the rules
		doubles          int
	}{
		{"one is let in, others are told", []call{issued, {2, 3, "a", storetest.LetIn, ""}, {4, 5, "b", storetest.UsedBy, "a"}}, true, true, 0},
		{"again and again", []call{issued, {2, 3, "a", storetest.LetIn, ""}, {4, 5, "a", storetest.LetIn, ""}}, true, true, 0},
		{"two are let in", []call{issued, {2, 3, "a", storetest.LetIn, ""}, {4, 5, "b", storetest.LetIn, ""}}, false, false, 1},
		{"two are let in at once", []call{issued, {2, 5, "a", storetest.LetIn, ""}, {3, 4, "b", storetest.LetIn, ""}}, false, false, 1},
		{"let in before it was issued", []call{{0, 1, "a", storetest.LetIn, ""}, {2, 3, "", storetest.Issued, ""}}, false, false, 0},
		{"gone before it was issued", []call{{0, 1, "a", storetest.Gone, ""}, {2, 3, "", storetest.Issued, ""}, {4, 5, "a", storetest.LetIn, ""}}, true, true, 0},
		{"never issued", []call{{0, 1, "a", storetest.LetIn, ""}}, false, false, 0},
		{"perhaps issued", []call{{0, 1, "", storetest.Maybe, ""}, {2, 3, "a", storetest.LetIn, ""}}, true, true, 0},
		{"perhaps not issued", []call{{0, 1, "", storetest.Maybe, ""}, {2, 3, "a", storetest.Gone, ""}}, true, true, 0},
		{"perhaps let in, and was", []call{issued, {2, 3, "a", storetest.Maybe, ""}, {4, 5, "b", storetest.UsedBy, "a"}}, true, true, 0},
		{"perhaps let in, and was not", []call{issued, {2, 3, "a", storetest.Maybe, ""}, {4, 5, "b", storetest.LetIn, ""}}, true, true, 0},
		{"perhaps let in, but only once", []call{issued, {2, 3, "a", storetest.Maybe, ""}, {4, 5, "b", storetest.LetIn, ""}, {6, 7, "c", storetest.UsedBy, "a"}}, false, false, 0},
		{"used by one who never came", []call{issued, {2, 3, "b", storetest.UsedBy, "a"}}, false, false, 0},
		{"used by oneself", []call{issued, {2, 3, "a", storetest.LetIn, ""}, {4, 5, "a", storetest.UsedBy, "a"}}, false, false, 0},
		{"used, and then gone for its claimant", []call{issued, {2, 3, "a", storetest.LetIn, ""}, {4, 5, "a", storetest.Gone, ""}, {6, 7, "b", storetest.UsedBy, "a"}}, true, true, 0},
		{"back from the dead", []call{issued, {2, 3, "a", storetest.Gone, ""}, {4, 5, "b", storetest.LetIn, ""}}, false, true, 0},
		{"back from the dead, twice", []call{issued, {2, 3, "a", storetest.LetIn, ""}, {4, 5, "a", storetest.Gone, ""}, {6, 7, "b", storetest.LetIn, ""}}, false, false, 1},
	}
	for _, tt := range tests {
		h := storetest.NewHistory()
		for _, c := range tt.calls {
			h.Add(storetest.Asked{Token: "token", Claim: c.claim}, storetest.Answered{Reply: c.reply, By: c.by}, time.Duration(c.from), time.Duration(c.to))
			// Another token's calls have nothing to do with it.
			h.Add(storetest.Asked{Token: "other"}, storetest.Answered{Reply: storetest.Issued}, time.Duration(c.from), time.Duration(c.to))
		}
		for rule, want := range map[storetest.Rule]bool{storetest.GoneForGood: tt.goneForGood, storetest.GoneForSome: tt.any} {
			got := h.Check(rule)
			if follows := len(got.Wrong) == 0; follows != want || got.Doubles != tt.doubles || got.Tokens != 2 {
				t.Errorf("%s, rule %d: got %v, want it to follow the rule: %v, %d doubles, 2 tokens", tt.name, rule, got, want, tt.doubles)
			}
		}
	}
}
