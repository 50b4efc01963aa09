package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
	"github.com/latchkey-sso/latchkey/cmd/internal/setup"
	"github.com/latchkey-sso/latchkey/store"
)

func catalogueCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalogue",
		Short: "Show and change the links that the brokers know",
		Long: `catalogue works on the numbered revisions of the links in the store. Brokers put
the last one in force within two seconds; servers get it with the next apply, or
from the daemon.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(catalogueShowCommand(env), catalogueExportCommand(env), catalogueImportCommand(env), catalogueHistoryCommand(env))
	return cmd
}

// withStore opens the store for a command that asks no server.
func withStore(env Env, source *cli.Source, work func(context.Context, *fleet) error) error {
	t := &target{source: source}
	f, err := t.open(env)
	if err != nil {
		return err
	}
	defer f.close()
	return work(source.Cmd.Context(), f)
}

// revision reads the one of a flag; 0 is the one in force.
func (f *fleet) revision(ctx context.Context, number int) (broker.Revision, error) {
	r, err := f.store.Revision(ctx, number)
	switch {
	case errors.Is(err, store.ErrNoRevision) && number == 0:
		return r, errors.New("there is no revision of the catalogue yet: `provisioner apply` publishes the file's links, `provisioner catalogue import default` the default ones")
	case errors.Is(err, store.ErrNoRevision):
		return r, fmt.Errorf("there is no revision %d (any more): `provisioner catalogue history` lists them", number)
	case err != nil:
		return r, f.storeError(err)
	}
	return r, nil
}

func catalogueShowCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show the links in force"}
	source := cli.Configured(env.Env, cmd, false)
	number := cmd.Flags().Int("revision", 0, "show this revision instead of the one in force")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		return withStore(env, source, func(ctx context.Context, f *fleet) error {
			r, err := f.revision(ctx, *number)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(env.Out).Encode(withoutIcons(r))
			}
			return showRevision(env.Out, f.cfg.AppPrefix, r)
		})
	}
	return cmd
}

// withoutIcons leaves out what nobody reads on a screen; export has it.
func withoutIcons(r broker.Revision) broker.Revision {
	r.Links = slices.Clone(r.Links)
	for i := range r.Links {
		r.Links[i].Icon = nil
	}
	return r
}

func showRevision(w io.Writer, prefix string, r broker.Revision) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "Revision %d, by %s (%s), %s\nGroup %s: %q at %d\n\n", r.Number, r.Author, r.Source,
		cli.Moment(r.At), r.Group.ID, r.Group.Label, r.Group.Order)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "APP\tON\tORDER\tLABEL\tIMPLEMENTS\tPORTAL\tPATH")
	links := slices.Clone(r.Links)
	slices.SortStableFunc(links, func(a, b broker.LinkDefinition) int { return a.Order - b.Order })
	for _, l := range links {
		on := map[bool]string{true: "yes", false: "no"}[l.Enabled]
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", prefix+l.ID, on, l.Order, l.Label, l.Implements, l.Portal, l.Path)
	}
	return errors.Join(table.Flush(), out.Flush())
}

// exported is what export writes with -o json and import reads: the keys of the
// configuration file, with pictures inside.
type exported struct {
	Group broker.Group            `json:"group"`
	Links []broker.LinkDefinition `json:"links"`
}

func catalogueExportCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print the links in force, for a file or for import",
		Long: `export prints the links as YAML, for the key links of the configuration file or for
import, or with -o json everything, icons included.`,
		Example: "  provisioner catalogue export -c latchkey.yaml\n  provisioner catalogue export -c latchkey.yaml -o json > catalogue.json",
	}
	source := cli.Configured(env.Env, cmd, false)
	number := cmd.Flags().Int("revision", 0, "export this revision instead of the one in force")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		return withStore(env, source, func(ctx context.Context, f *fleet) error {
			r, err := f.revision(ctx, *number)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(env.Out)
				e.SetIndent("", "  ")
				return e.Encode(exported{Group: r.Group, Links: append([]broker.LinkDefinition{}, r.Links...)})
			}
			return exportYAML(env, r)
		})
	}
	return cmd
}

// yamlLink is a link as the configuration file has it.
type yamlLink struct {
	ID         string `yaml:"id"`
	Enabled    bool   `yaml:"enabled"`
	Label      string `yaml:"label"`
	Implements string `yaml:"implements,omitempty"`
	Order      int    `yaml:"order"`
	Portal     string `yaml:"portal"`
	Path       string `yaml:"path"`
}

// yamlCatalogue are the keys group and links as the configuration file has them.
type yamlCatalogue struct {
	Group broker.Group `yaml:"group,flow"`
	Links []yamlLink   `yaml:"links"`
}

// yaml leaves out the pictures.
func (e exported) yaml() yamlCatalogue {
	file := yamlCatalogue{Group: e.Group, Links: []yamlLink{}}
	for _, l := range e.Links {
		file.Links = append(file.Links, yamlLink{l.ID, l.Enabled, l.Label, l.Implements, l.Order, l.Portal, l.Path})
	}
	return file
}

func exportYAML(env Env, r broker.Revision) error {
	var pictures []string
	for _, l := range r.Links {
		if !bytes.Equal(l.Icon, broker.DefaultIcon(l.ID)) {
			pictures = append(pictures, l.ID)
		}
	}
	if len(pictures) > 0 {
		fmt.Fprintf(env.Err, "These links have icons of their own, which YAML leaves out (add icon_file, or use -o json): %s\n", strings.Join(pictures, ", "))
	}
	e := yaml.NewEncoder(env.Out)
	e.SetIndent(2)
	return errors.Join(e.Encode(exported{Group: r.Group, Links: r.Links}.yaml()), e.Close())
}

// switchedOn counts the links of a revision that customers have.
func switchedOn(r broker.Revision) (n int) {
	for _, l := range r.Links {
		if l.Enabled {
			n++
		}
	}
	return n
}

func catalogueImportCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE|default|-",
		Short: "Publish links as a new revision",
		Long: `import publishes the links of a file that export has written, as YAML or with -o json
(- for standard input), or with the word default the fourteen default links, leading
to the first portal of the configuration. YAML may name icons by icon_file; a link
without has the built-in icon of its id.

A configuration file with the key links publishes its own at the next apply, which
then asks for --overwrite. Leave links out of it to manage them here.`,
		Example: "  provisioner catalogue import default -c latchkey.yaml\n  provisioner catalogue import catalogue.yaml -c latchkey.yaml",
		Args:    cobra.ExactArgs(1),
	}
	source := cli.Configured(env.Env, cmd, false)
	p := &publishing{}
	cmd.Flags().StringVar(&p.author, "author", "", "who publishes, as the history names it (default: provisioner.author, else user@host)")
	yes := cmd.Flags().Bool("yes", false, "do not ask when no link is left switched on")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return withStore(env, source, func(ctx context.Context, f *fleet) error {
			r, err := readImport(env, f.cfg, args[0])
			if err != nil {
				return err
			}
			current, err := f.store.Revision(ctx, 0)
			if err != nil && !errors.Is(err, store.ErrNoRevision) {
				return f.storeError(err)
			}
			if current.Number > 0 && r.SameLinks(current) {
				fmt.Fprintf(env.Out, "Revision %d has these links already.\n", current.Number)
				return nil
			}
			r.Author, r.At, r.Changes = p.name(f.cfg), env.Now(), changesSince(r, current)
			if _, left, err := setup.ProvisioningCatalogue(f.cfg, r); err != nil {
				return cli.Usagef("%s: %w", args[0], err)
			} else if len(left) > 0 {
				return cli.Usagef("%s: %s", args[0], strings.Join(left, "; "))
			}
			if on := switchedOn(current); on > 0 && switchedOn(r) == 0 && !*yes &&
				!cli.Confirmed(env.Env, fmt.Sprintf("This switches all %d links off. Customers lose them at once. Publish it?", on)) {
				if env.Signals.Err() != nil {
					return &cli.InterruptedError{State: "nothing was published"}
				}
				return cli.Usagef("nothing was published; answer y, or use --yes")
			}
			n := next{revision: r, base: current.Number, publish: true}
			if err := n.put(ctx, f); err != nil {
				return err
			}
			fmt.Fprintf(env.Out, "Published revision %d: %s\nServers get it with the next apply, or from the daemon.\n",
				n.revision.Number, strings.Join(n.revision.Changes, "; "))
			return nil
		})
	}
	return cmd
}

func catalogueHistoryCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "history", Short: "List the revisions: who changed what, and when"}
	source := cli.Configured(env.Env, cmd, false)
	limit := cmd.Flags().Int("limit", 20, "how many revisions to list")
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		if *limit < 1 || *limit > 100 {
			return cli.Usagef("--limit must be from 1 to 100")
		}
		return withStore(env, source, func(ctx context.Context, f *fleet) error {
			all, err := f.store.Revisions(ctx, *limit)
			if err != nil {
				return f.storeError(err)
			}
			if asJSON {
				for i := range all {
					all[i] = withoutIcons(all[i])
				}
				return json.NewEncoder(env.Out).Encode(all)
			}
			if len(all) == 0 {
				fmt.Fprintln(env.Err, "There are no revisions yet.")
			}
			out := bufio.NewWriter(env.Out)
			for _, r := range all {
				fmt.Fprintf(out, "%d  %s  %s (%s)\n", r.Number, cli.Moment(r.At), r.Author, r.Source)
				for _, change := range r.Changes {
					fmt.Fprintf(out, "     %s\n", change)
				}
			}
			return out.Flush()
		})
	}
	return cmd
}
