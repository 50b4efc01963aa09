package reconcile

import (
	"fmt"
	"maps"
	"slices"

	"github.com/latchkey-sso/latchkey/broker"
)

// keepGroup puts the group's steps around those of the links: links may stand in
// a group that is not there, but not look well. A group that was there before our
// links is somebody else's: links are shown in it, and it is never written.
func (p *planner) keepGroup(at int) {
	id := p.wanted.Group.ID
	there := slices.Contains(p.seen.groups, id)
	recorded := p.record.Group
	others := recorded.ID == id && recorded.Written.IsZero()
	why := ""
	switch {
	case others && !(p.seen.asked && !there):
	case recorded.ID != id && p.seen.asked && there && !p.madeGroup():
		p.plan.othersGroup = true
		p.left(LevelNotice, "", fmt.Sprintf("a group %q is there and nothing shows that it is ours; our links are shown in it, and it is left as it is", id))
	case recorded.ID == "":
		why = "is not there yet"
	case recorded.ID == id && p.seen.asked && !there:
		why = "is missing on the server"
	case recorded.ID == id && recorded.Written == intended:
		why = "was not finished"
	case recorded.ID != id:
		why = "takes the place of " + recorded.ID
	case recorded.Written != p.wanted.groupFingerprint():
		why = "its label or order is not as the catalogue wants it"
	}
	if recorded.ID != "" && recorded.ID != id {
		// After the links: when we are stopped, a group of the new name in which none
		// of them stands is somebody else's (madeGroup).
		at = len(p.plan.Steps)
	}
	if why != "" && len(p.wanted.apps) > 0 {
		p.plan.Steps = slices.Insert(p.plan.Steps, at, Step{Kind: StepCreateGroup, Group: id, Why: why})
	}
	if recorded.ID != "" && recorded.ID != id {
		p.dropGroup("the group is now " + id)
	}
}

// keepsGroup reports whether an account's group is kept although the catalogue has
// another one: a run on single links leaves others in it, and the store remembers one
// group of an account. It also means that a link never comes into the new group
// without the look that tells whose that is.
func (p Policy) keepsGroup(record Record, w *Wanted) bool {
	return len(p.Apps) > 0 && record.Group.ID != "" && record.Group.ID != w.Group.ID
}

// intended is recorded of a group that nobody has, before WHM is asked to make it:
// when we are stopped in between, it is ours.
var intended = Fingerprint{4: 1}

// madeGroup reports whether the group on the server is ours although the store
// does not know it: we were stopped after it was seen that nobody has the name, and
// before it was noted. What stands in the group is no proof: accounts are copied
// with their links and groups, and people move links by hand.
func (p *planner) madeGroup() bool {
	if p.record.Group.ID == "" {
		return false // that we are about to make one is noted before (intended)
	}
	// The group is to have another name. All links were being moved to it then, or
	// had been (keepsGroup).
	moved := false
	for _, app := range slices.Sorted(maps.Keys(p.record.Links)) {
		record := p.record.Links[app]
		config, looked := p.seen.configs[app]
		link := broker.Link{Account: p.record.Account, App: app}
		switch _, wanted := p.wanted.links[app]; {
		case !wanted || looked && !p.wanted.ours(config):
		case record.Written == p.wanted.fingerprint(link, p.plan.Subscriber):
			moved = true
		case record.Pending > 0 && config[fieldGroup] == p.wanted.Group.ID:
			moved = true
		default:
			return false
		}
	}
	return moved
}

// dropGroup removes the recorded group, or only its record when it is somebody
// else's.
func (p *planner) dropGroup(why string) {
	kind := StepRemoveGroup
	if p.record.Group.Written.IsZero() || p.seen.asked && !slices.Contains(p.seen.groups, p.record.Group.ID) {
		kind = StepForgetGroup
	}
	p.plan.Steps = append(p.plan.Steps, Step{Kind: kind, Group: p.record.Group.ID, Why: why})
}

// leaveGroup says that a group stays when all that is ours is removed.
func (p *planner) leaveGroup() {
	id := p.wanted.Group.ID
	recorded := p.record.Group
	if slices.Contains(p.seen.groups, id) && (recorded.ID == "" || recorded.ID == id && recorded.Written.IsZero()) {
		p.left(LevelNotice, "", fmt.Sprintf("the group %q stays: the store does not know it as ours; if it is, remove it there with `whmapi1 remove_integration_group user=%s group_id=%s`",
			id, p.record.Account.User, id))
	}
}
