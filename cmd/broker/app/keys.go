package app

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/cmd/internal/cli"
)

func keysCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make and list signing keys",
		Long: `Signing keys are PEM files in broker.signing_keys_dir. Give all brokers the same
files.

To rotate: run "keys new". Running brokers publish the key within seconds and sign
with it 10 minutes later, when every portal has seen it. After another 10 minutes
delete the old file; "keys list" says when. No restart is needed.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(keysNewCommand(env), keysListCommand(env))
	return cmd
}

// keysSource is the directory of --dir, or that of the configuration.
func keysSource(env cli.Env, cmd *cobra.Command) func() (string, error) {
	source := cli.Configured(env, cmd, false)
	dir := cmd.Flags().String("dir", "", "directory of the keys, instead of broker.signing_keys_dir")
	return func() (string, error) {
		if *dir != "" {
			return *dir, nil
		}
		cfg, err := source.Load(0)
		if err != nil {
			return "", err
		}
		return cfg.Broker.SigningKeysDir, nil
	}
}

func keysNewCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a signing key",
		Example: "  broker keys new -c /etc/latchkey/latchkey.yaml\n" +
			"  broker keys new --dir ./keys --alg RS256",
	}
	dirOf := keysSource(env, cmd)
	algorithm := cmd.Flags().String("alg", "EdDSA", "EdDSA (Ed25519), ES256 or RS256 (3072 bits)")
	cmd.RunE = func(*cobra.Command, []string) error {
		dir, err := dirOf()
		if err != nil {
			return err
		}
		key, err := broker.GenerateKey(*algorithm, rand.Reader, madeAt(dir, time.Now()))
		if err != nil {
			return cli.Usagef("--alg: %w", err)
		}
		path, err := writeKey(dir, key)
		if err != nil {
			return fmt.Errorf("write signing key: %w", err)
		}
		fmt.Fprintln(env.Out, path)
		return tellWhenItSigns(env, dir, key)
	}
	return cmd
}

// madeAt is now, or the second after the newest key was made: of two keys of one
// second nobody could say which came first, and the later might sign at once.
func madeAt(dir string, now time.Time) time.Time {
	ring, err := broker.LoadKeys(os.DirFS(dir))
	if err != nil {
		return now // no key yet, or a broken one, which is told later
	}
	keys := ring.Keys()
	if next := keys[len(keys)-1].Since.Add(time.Second); now.Before(next) {
		return next
	}
	return now
}

// writeKey writes the file whole or not at all, readable by its owner only.
func writeKey(dir string, key *broker.Key) (string, error) {
	content, err := key.PEM()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	temporary, err := os.CreateTemp(dir, ".new-*") // 0600; brokers read *.pem only
	if err != nil {
		return "", err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return "", err
	}
	path := filepath.Join(dir, key.FileName())
	return path, os.Rename(temporary.Name(), path)
}

func tellWhenItSigns(env cli.Env, dir string, key *broker.Key) error {
	ring, err := broker.LoadKeys(os.DirFS(dir))
	if err != nil {
		return fmt.Errorf("the key was made, but brokers cannot read %s: %w", dir, err)
	}
	if ring.Signing(key.Since).ID == key.ID {
		fmt.Fprintln(env.Err, "It is the only key and signs at once.")
		return nil
	}
	fmt.Fprintf(env.Err, "It is published now and signs from %s.\n", key.Since.Add(broker.KeyOverlap).Format(time.RFC3339))
	return nil
}

// keyRow is one key as `keys list` shows it.
type keyRow struct {
	ID        string     `json:"kid"`
	Algorithm string     `json:"alg"`
	Made      *time.Time `json:"made,omitempty"`
	State     string     `json:"state"`
	File      string     `json:"file"`
}

func keysListCommand(env cli.Env) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List signing keys and what each is for"}
	dirOf := keysSource(env, cmd)
	output := cli.OutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asJSON, err := output()
		if err != nil {
			return err
		}
		dir, err := dirOf()
		if err != nil {
			return err
		}
		rows, err := keyRows(os.DirFS(dir), time.Now())
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if asJSON {
			return json.NewEncoder(env.Out).Encode(rows)
		}
		table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KID\tALG\tMADE\tSTATE\tFILE")
		for _, r := range rows {
			made := "unknown"
			if r.Made != nil {
				made = r.Made.Format(time.RFC3339)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Algorithm, made, r.State, r.File)
		}
		return table.Flush()
	}
	return cmd
}

// keyRows says of each key what it is for at an instant. An old key may go when
// no assertion of it is valid and no portal waits for the next key set.
func keyRows(dir fs.FS, now time.Time) ([]keyRow, error) {
	ring, err := broker.LoadKeys(dir)
	if err != nil {
		return nil, err
	}
	files, err := broker.KeyFiles(dir)
	if err != nil {
		return nil, err
	}
	signing := ring.Signing(now)
	var rows []keyRow
	for _, k := range ring.Keys() {
		row := keyRow{ID: k.ID, Algorithm: k.Algorithm, File: files[k.ID]}
		if !k.Since.IsZero() {
			row.Made = &k.Since
		}
		retired := signing.Since.Add(2 * broker.KeyOverlap)
		switch {
		case k.ID == signing.ID:
			row.State = "signing"
		case now.Before(k.Since.Add(broker.KeyOverlap)):
			row.State = "next, signs from " + k.Since.Add(broker.KeyOverlap).Format(time.RFC3339)
		case now.Before(retired):
			row.State = "old, may be deleted from " + retired.Format(time.RFC3339)
		default:
			row.State = "old, may be deleted"
		}
		rows = append(rows, row)
	}
	return rows, nil
}
