package reconcile

import (
	"fmt"
	"slices"
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
		p.left(LevelNotice, "", fmt.Sprintf("a group %q is there that is not ours; our links are shown in it", id))
	case recorded.ID == "":
		why = "is not there yet"
	case recorded.ID == id && p.seen.asked && !there:
		why = "is missing on the server"
	case recorded.ID != id || recorded.Written != p.wanted.groupFingerprint():
		why = "is not as the catalogue wants it"
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

// madeGroup reports whether the group on the server is ours although the store
// does not know it: our links stand in it, or we were stopped after it was seen
// that nobody has the name. Links that were registered by hand tell neither.
func (p *planner) madeGroup() bool {
	first := p.record.Group.ID == ""
	for _, l := range p.record.Links {
		byHand := l.Confirmed && l.Pending == 0 && l.Written.IsZero()
		if first && !byHand {
			return true
		}
	}
	for app, config := range p.seen.configs {
		group, told := config[fieldGroup]
		if p.wanted.mayBeOurs(app) && p.wanted.ours(config) && (group == p.wanted.Group.ID || first && !told) {
			return true
		}
	}
	return false
}

// dropGroup removes the recorded group, or only its record when it is somebody
// else's.
func (p *planner) dropGroup(why string) {
	kind := StepRemoveGroup
	if p.record.Group.Written.IsZero() {
		kind = StepForgetGroup
	}
	p.plan.Steps = append(p.plan.Steps, Step{Kind: kind, Group: p.record.Group.ID, Why: why})
}
