package subscribers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// File is a source of subscribers: a file in UTF-8, with or without a BOM.
//
// CSV begins with a header that names the columns server, user and
// subscriber_unique_id in any order; other columns are left alone, blank lines
// skipped. JSON is one object a line, or one array of objects, with members of
// the same names, of which each is text, a number or null; a number keeps its
// digits as they are written.
type File struct {
	path string
}

var _ reconcile.Subscriptions = (*File)(nil)

// NewFile returns the source. The file is opened by Read.
func NewFile(path string) *File { return &File{path: path} }

// Read implements reconcile.Subscriptions. A row's Where is like
// "accounts.csv:17", and every error begins with such a place or names the file.
func (f *File) Read(ctx context.Context, row func(reconcile.Subscription) error) error {
	in, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("read the subscribers' file (subscribers.file.path): %w", err)
	}
	defer in.Close()
	before, err := in.Stat()
	if err != nil {
		return fmt.Errorf("read the subscribers' file (subscribers.file.path): %w", err)
	}
	if before.IsDir() {
		return fmt.Errorf("%s is a directory; subscribers.file.path must name a file", f.path)
	}
	place := filepath.Base(f.path) + ":"
	if err := (list{in: in, where: place, errors: place}).each(ctx, row); err != nil {
		return err
	}
	after, err := in.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	if changed(before, after) {
		return errors.New(f.path + " was changed while it was read, so the list may not be complete: " +
			"write it under another name and rename it when it is finished")
	}
	return nil
}

// changed compares what Stat told of a file. Of a pipe the size means nothing.
func changed(before, after fs.FileInfo) bool {
	return before.Mode().IsRegular() && (before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()))
}
