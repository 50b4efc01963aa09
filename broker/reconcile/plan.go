package reconcile

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/latchkey-sso/latchkey/broker"
)

// noSubscriber is counted by Counts.Skipped as well.
const noSubscriber = "the account has no subscriber; its links are left as they are"

// Plan is what is to be done for one account. It is data: printing it and doing
// it start from the same value.
type Plan struct {
	Account broker.Account `json:"account"`
	// Subscriber is whose the account is.
	Subscriber string `json:"subscriber,omitempty"`
	Steps      []Step `json:"steps,omitempty"`
	// Left names what is left alone, and why.
	Left []Entry `json:"left,omitempty"`
	// Unchanged counts links that are as wanted.
	Unchanged int `json:"unchanged"`
	// Foreign counts links of other makers on the account.
	Foreign int `json:"foreign,omitempty"`
	// Blocked counts wanted links whose names other makers have taken.
	Blocked int `json:"blocked,omitempty"`
	// Skipped: the account has no subscriber.
	Skipped bool `json:"skipped,omitempty"`
	// Failed: the account could not be looked at, and nothing is planned.
	Failed bool `json:"failed,omitempty"`

	newSubscriber bool
	// othersGroup: the group was there before us, and is to be remembered as
	// somebody else's.
	othersGroup bool
	// keptGroup is the group in which the links stay although the catalogue has
	// another one.
	keptGroup string
	// arrived: the account has no subscriber, and links named like ours that the
	// store does not know. They may work by the records of where it came from.
	arrived bool
	// refused counts links that are named like ours and not looked at (names.go).
	refused int
}

// Step is one change of one link or group.
type Step struct {
	Kind StepKind `json:"kind"`
	App  string   `json:"app,omitempty"`
	// Group is the id of the group steps.
	Group string `json:"group,omitempty"`
	Why   string `json:"why"`
}

// StepKind says what a Step does.
type StepKind string

// The kinds, in the order in which an account's are done.
const (
	StepCreateGroup StepKind = "create group"
	StepCreate      StepKind = "create"
	StepChange      StepKind = "change"
	StepRotate      StepKind = "rotate"
	StepRemove      StepKind = "remove"
	StepRemoveGroup StepKind = "remove group"
	// StepForget removes a link's record only: the server does not have it.
	StepForget StepKind = "forget"
	// StepForgetGroup does so for a group.
	StepForgetGroup StepKind = "forget group"
)

// writesToken reports whether the step gives its link a new token.
func (s Step) writesToken() bool {
	return s.Kind == StepCreate || s.Kind == StepChange || s.Kind == StepRotate
}

// Policy says what a run is to do with the accounts that it comes to.
type Policy struct {
	// Apps limits the run to these links; empty means all.
	Apps []string
	// Remove takes our links away instead of keeping them as wanted.
	Remove bool
	// Rotate does nothing but to give links new tokens, and to finish what was not
	// finished.
	Rotate bool
	// RotateBefore gives links new tokens whose token was made before; zero
	// rotates none.
	RotateBefore time.Time
	// TrustStore believes the store about what stands on the servers. Accounts to
	// which something is to be added are looked at all the same.
	TrustStore bool
	// Deep compares every field of every link with the server's.
	Deep bool
}

func (p Policy) covers(app string) bool { return len(p.Apps) == 0 || slices.Contains(p.Apps, app) }

// planner plans one account. What it must know of the server and does not, it
// collects in need.
type planner struct {
	wanted *Wanted
	policy Policy
	record Record
	seen   observed
	plan   Plan
	need   []string // apps whose stored fields must be read first
}

// planAccount says what to do, or which links must be looked at first. Links that
// are on the server already are looked at before they are touched, unless the
// policy trusts the store: only the URL inside says whose they are.
func planAccount(w *Wanted, policy Policy, record Record, subscriber string, seen observed) (Plan, []string) {
	p := &planner{wanted: w, policy: policy, record: record, seen: seen}
	p.plan = Plan{Account: record.Account, Subscriber: subscriber}
	p.refuse()
	if policy.keepsGroup(record, w) {
		p.plan.keptGroup = record.Group.ID
		p.wanted = w.inGroup(record.Group.ID)
	}
	switch {
	case seen.failed != nil:
		p.plan.Failed = true
		p.left(LevelWarning, "", "cannot be looked at: "+seen.failed.Error())
		return p.plan, nil
	case policy.Remove:
		p.remove()
	case policy.Rotate:
		p.rotate()
	case subscriber == "":
		p.plan.Skipped = true
		p.left(LevelNotice, "", noSubscriber)
		p.plan.arrived = len(p.candidates()) > len(record.Links)
	default:
		p.keep(subscriber)
	}
	for _, app := range p.seen.apps {
		if _, recorded := record.Links[app]; !recorded && !w.mayBeOurs(app) {
			p.plan.Foreign++
		}
	}
	return p.plan, p.need
}

// changes counts the links that are to be written anew.
func (p Plan) changes() int {
	n := 0
	for _, s := range p.Steps {
		if s.Kind == StepChange {
			n++
		}
	}
	return n
}

// planGone forgets what the store knows of an account that its server has not.
func planGone(record Record) Plan {
	plan := Plan{Account: record.Account}
	const why = "the account is not on the server any more"
	for _, app := range slices.Sorted(maps.Keys(record.Links)) {
		plan.Steps = append(plan.Steps, Step{Kind: StepForget, App: app, Why: why})
	}
	if record.Group.ID != "" {
		plan.Steps = append(plan.Steps, Step{Kind: StepForgetGroup, Group: record.Group.ID, Why: why})
	}
	return plan
}

func (p *planner) step(kind StepKind, app, why string) {
	p.plan.Steps = append(p.plan.Steps, Step{Kind: kind, App: app, Why: why})
}

func (p *planner) left(level Level, app, message string) {
	p.plan.Left = append(p.plan.Left, Entry{
		Level: level, Server: p.record.Account.Server, User: p.record.Account.User, App: clip(app, maxName), Message: clip(message, maxMessage),
	})
}

func (p *planner) keep(subscriber string) {
	p.plan.newSubscriber = len(p.record.Links) > 0 && p.record.Subscriber != subscriber
	groupStep := len(p.plan.Steps)
	for _, app := range p.wanted.apps {
		record, known := p.record.Links[app]
		dead := known && (!record.Confirmed || p.plan.newSubscriber) // the account's tokens went together
		if p.policy.covers(app) || dead {
			p.keepLink(app, subscriber)
		}
	}
	p.removeOthers()
	if p.plan.keptGroup == "" {
		p.keepGroup(groupStep)
	}
}

// notAsWanted is followed by the names of the fields, where the server was asked.
const notAsWanted = "is not as the catalogue wants it"

func (p *planner) keepLink(app, subscriber string) {
	link := broker.Link{Account: p.record.Account, App: app}
	record, known := p.record.Links[app]
	there := p.seen.has(app)
	if !p.seen.looked {
		there = known
	}
	if !there {
		why := "is not there yet"
		if known && record.Confirmed {
			why = "is missing on the server"
		}
		p.step(StepCreate, app, why)
		return
	}
	kind, why := StepChange, ""
	switch {
	case !known:
		why = "is on the server and not in the store"
	case p.plan.newSubscriber:
		why = fmt.Sprintf("the subscriber changes from %s to %s", p.record.Subscriber, subscriber)
	case record.Pending > 0:
		why = "was not finished"
	case !record.Confirmed:
		why = "its tokens were superseded"
	case record.Written.IsZero():
		why = "was registered by hand"
	case record.Written != p.wanted.fingerprint(link, subscriber):
		why = notAsWanted
	case record.Created.Before(p.policy.RotateBefore):
		kind, why = StepRotate, "its token is to be replaced"
	}
	if why == "" && !p.policy.Deep {
		p.plan.Unchanged++
		return
	}
	config, ours := p.look(app)
	if !ours {
		return
	}
	differ := p.wanted.drift(link, subscriber, config)
	switch {
	case len(differ) == 0:
	case why == "" || kind == StepRotate:
		kind, why = StepChange, "differs on the server: "+strings.Join(differ, ", ")
	case why == notAsWanted:
		why += ": " + strings.Join(differ, ", ")
	}
	if from, copied := copiedFrom(config, p.record.Account); copied {
		why = "was copied from " + clip(from.String(), maxName)
	}
	if why == "" {
		p.plan.Unchanged++
		return
	}
	p.step(kind, app, why)
}

// rotate plans new tokens for the links that the store knows.
func (p *planner) rotate() {
	p.plan.Subscriber = p.record.Subscriber
	for _, app := range p.wanted.apps {
		record, known := p.record.Links[app]
		if !p.policy.covers(app) || p.seen.looked && !p.seen.has(app) {
			continue
		}
		if !known {
			if p.seen.looked {
				p.left(LevelNotice, app, "is on the server and not in the store: `provisioner apply` sees whose it is and writes it anew")
			}
			continue
		}
		kind, why := StepRotate, "its token is to be replaced"
		switch {
		case record.Pending > 0:
			kind, why = StepChange, "was not finished"
		case !record.Confirmed:
			kind, why = StepChange, "its tokens were superseded"
		case !record.Created.Before(p.policy.RotateBefore):
			p.plan.Unchanged++
			continue
		}
		config, ours := p.look(app)
		if !ours {
			continue
		}
		// A link that was restored or copied may be somebody else's: a new token alone
		// would not make it work.
		link := broker.Link{Account: p.record.Account, App: app}
		differ := p.wanted.drift(link, p.record.Subscriber, config)
		if kind == StepRotate && (slices.Contains(differ, fieldSubscriber) || slices.Contains(differ, fieldAutologinURL)) {
			kind, why = StepChange, "differs on the server: "+strings.Join(differ, ", ")
		}
		p.step(kind, app, why)
	}
}

// look returns the stored fields of a link that is on the server, and whether it
// is ours to touch.
func (p *planner) look(app string) (map[string]string, bool) {
	if !p.seen.looked {
		return nil, true
	}
	config, read := p.seen.configs[app]
	if !read {
		p.need = append(p.need, app)
		return nil, true
	}
	if p.wanted.ours(config) || asWritten(config, p.record.Links[app].Written) {
		return config, true
	}
	p.plan.Foreign++
	leads := clip(orNowhere(config[fieldAutologinURL]), maxName)
	if _, wanted := p.wanted.links[app]; wanted && !p.policy.Remove {
		p.plan.Blocked++
		p.left(LevelWarning, app, fmt.Sprintf("cannot be made: a link of this name leads to %s and is not ours; if nobody needs it, "+
			"remove it there with `whmapi1 remove_integration_link user=%s app=%s`, else give ours another id", leads, p.record.Account.User, app))
		return nil, false
	}
	p.left(LevelNotice, app, "leads to "+leads+" and is not ours; it is left alone")
	return nil, false
}

// orNowhere is where a link of others leads, without what may be secret there.
func orNowhere(address string) string {
	if address == "" {
		return "no sign-on"
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "an address that cannot be read"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// removeOthers takes away what is ours and not wanted.
func (p *planner) removeOthers() {
	for _, app := range p.candidates() {
		if _, wanted := p.wanted.links[app]; wanted || !p.policy.covers(app) {
			continue
		}
		why := "is not in the catalogue"
		if p.wanted.off[app] {
			why = "is switched off in the catalogue"
		}
		p.removeLink(app, why)
	}
}

// candidates are the apps that may be ours: recorded, or named like ours.
func (p *planner) candidates() []string {
	apps := slices.Collect(maps.Keys(p.record.Links))
	for _, app := range p.seen.apps {
		if _, recorded := p.record.Links[app]; !recorded && p.wanted.mayBeOurs(app) {
			apps = append(apps, app)
		}
	}
	slices.Sort(apps)
	return apps
}

func (p *planner) removeLink(app, why string) {
	_, recorded := p.record.Links[app]
	switch {
	case !p.seen.looked || p.seen.has(app):
		if _, ours := p.look(app); ours {
			p.step(StepRemove, app, why)
		}
	case recorded:
		p.step(StepForget, app, why)
	}
}

func (p *planner) remove() {
	for _, app := range p.candidates() {
		if p.policy.covers(app) {
			p.removeLink(app, "is to be removed")
		}
	}
	if len(p.policy.Apps) > 0 {
		return
	}
	if p.record.Group.ID != "" {
		p.dropGroup("is to be removed")
	}
	p.leaveGroup()
}
