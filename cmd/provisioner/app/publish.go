package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/config"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

// publishing are the flags of commands that put the file's links in force.
type publishing struct {
	overwrite bool
	author    string
}

func newPublishing(cmd *cobra.Command) *publishing {
	p := &publishing{}
	cmd.Flags().BoolVar(&p.overwrite, "overwrite", false, "replace a newer revision of the catalogue that somebody else has published")
	cmd.Flags().StringVar(&p.author, "author", "", "who publishes, as the history names it (default: provisioner.author, else user@host)")
	return p
}

func (p *publishing) name(cfg *config.Config) string {
	return cmp.Or(p.author, cfg.Provisioner.Author, cli.Author())
}

// next is the revision that a run will work with.
type next struct {
	revision broker.Revision
	base     int  // the one in force, 0 = none
	publish  bool // revision is not in the store yet
	// ignored is what the configuration says about links and the store decides
	// otherwise.
	ignored string
}

// next compares the file's links with the store's. A file that does not speak of
// links leaves them to the store.
func (p *publishing) next(ctx context.Context, f *fleet) (next, error) {
	current, err := f.store.Revision(ctx, 0)
	none := errors.Is(err, store.ErrNoRevision)
	if err != nil && !none {
		return next{}, f.storeError(err)
	}
	if !none && f.cfg.DefaultCatalogue() {
		return next{revision: current, base: current.Number, ignored: ignoredGroup(f.cfg, current)}, nil
	}
	file, err := setup.FileRevision(f.cfg)
	if err != nil {
		return next{}, err
	}
	if !none && file.SameLinks(current) {
		return next{revision: current, base: current.Number}, nil
	}
	file.Number, file.Author, file.At = current.Number+1, p.name(f.cfg), f.env.Now()
	file.Changes = changesSince(file, current)
	n := next{revision: file, base: current.Number, publish: true}
	if !none && !p.overwrite && (current.Source != broker.SourceFile || current.Author != file.Author) {
		return n, &foreignRevisionError{current: current, changes: file.Changes, author: file.Author}
	}
	return n, nil
}

// ignoredGroup is the sentence about a group that a file without links asks for in
// vain; empty when it asks for none, or for the one in force.
func ignoredGroup(cfg *config.Config, current broker.Revision) string {
	group := broker.Group{ID: cfg.Group.ID, Label: cfg.Group.Label, Order: cfg.Group.Order}
	if !cfg.SetsGroup() || group == current.Group {
		return ""
	}
	return fmt.Sprintf(`The configuration's group (%s %q at %d) is not applied: without the key links, revision %d of the catalogue decides, and that has %s %q at %d. To change it: provisioner catalogue export, change it there, provisioner catalogue import.`,
		group.ID, group.Label, group.Order, current.Number, current.Group.ID, current.Group.Label, current.Group.Order)
}

// changesSince are the sentences for the history; current is zero when there is
// no revision.
func changesSince(r, current broker.Revision) []string {
	if current.Number == 0 {
		return []string{fmt.Sprintf("first revision, %d links", len(r.Links))}
	}
	return r.Diff(current)
}

// foreignRevisionError: the file would take back what somebody else has published.
type foreignRevisionError struct {
	current broker.Revision
	changes []string
	author  string // who would publish
}

func (e *foreignRevisionError) Error() string {
	you := ""
	if e.current.Source == broker.SourceFile {
		you = fmt.Sprintf("\nThis command publishes as %s. If that is the same author (a container has another host name each time), set provisioner.author to a name that stays.", e.author)
	}
	return fmt.Sprintf(`revision %d of the catalogue, from %s by %s (%s), differs from this file. The file would change:
  %s
Nothing was done. Take it over into the file (provisioner catalogue export), or use --overwrite to put the file's links in force.%s`,
		e.current.Number, cli.Moment(e.current.At), e.current.Author, e.current.Source, strings.Join(e.changes, "\n  "), you)
}

// say tells what is going to be in force.
func (n next) say(f *fleet, planned bool) {
	if n.ignored != "" {
		fmt.Fprintln(f.env.Err, n.ignored)
	}
	if !n.publish {
		return
	}
	verb := "Published"
	if planned {
		verb = "Apply will publish"
	}
	fmt.Fprintf(f.env.Err, "%s revision %d of the catalogue: %s\n", verb, n.revision.Number, strings.Join(n.revision.Changes, "; "))
}

// put publishes the revision if it is new. Of two who publish the same links at
// once, the second works with the revision of the first.
func (n *next) put(ctx context.Context, f *fleet) error {
	if !n.publish {
		return nil
	}
	published, err := f.store.Publish(ctx, n.revision, n.base)
	if conflict, is := errors.AsType[*store.RevisionConflictError](err); is {
		current, err := f.store.Revision(ctx, 0)
		switch {
		case err != nil && !errors.Is(err, store.ErrNoRevision):
			return f.storeError(err)
		case err == nil && n.revision.SameLinks(current):
			n.revision, n.publish = current, false
			return nil
		}
		return fmt.Errorf("revision %d of the catalogue was published meanwhile: run again", conflict.Current)
	}
	if err != nil {
		return f.storeError(err)
	}
	n.revision = published
	return nil
}

// asUsage makes a refusal to overwrite bad usage.
func asUsage(err error) error {
	if refused, is := errors.AsType[*foreignRevisionError](err); is {
		return cli.Usagef("%w", refused)
	}
	return err
}
