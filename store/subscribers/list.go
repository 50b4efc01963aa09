package subscribers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/latchkey-sso/latchkey/broker"
	"github.com/latchkey-sso/latchkey/broker/reconcile"
)

// The fields of a row, under the names that a header and JSON members have.
const (
	fieldServer = iota
	fieldUser
	fieldSubscriber
	fieldCount
)

func fieldNames() [fieldCount]string {
	return [fieldCount]string{"server", "user", "subscriber_unique_id"}
}

const (
	bufferSize = 64 << 10
	// maxRow keeps a quote that is never closed, or a list that is something
	// else altogether, from filling the memory.
	maxRow = 1 << 20
)

// row is one row of a list with the line where it begins.
type row struct {
	values [fieldCount]string
	line   int
}

func (r row) subscription(where string) reconcile.Subscription {
	return reconcile.Subscription{
		Account: broker.Account{
			Server: strings.TrimSpace(r.values[fieldServer]),
			User:   strings.TrimSpace(r.values[fieldUser]),
		},
		Subscriber: strings.TrimSpace(r.values[fieldSubscriber]),
		Where:      where,
	}
}

// rows is a list in one of the formats.
type rows interface {
	// next returns the next row. Errors are io.EOF after the last one, a *fault,
	// or what reading returned.
	next() (row, error)
}

// fault is what is wrong on a line.
type fault struct {
	line int
	text string
}

func (f *fault) Error() string { return f.text }

func faultf(line int, format string, args ...any) error {
	return &fault{line: line, text: fmt.Sprintf(format, args...)}
}

var errRowTooLong = errors.New("a row is longer than 1 MiB (is a quote or a bracket not closed?)")

// limited bounds what is read for one row, and remembers why reading failed:
// half a row is often a fault too, which would hide the cause.
type limited struct {
	in   io.Reader
	left int
	err  error
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.err = errRowTooLong
		return 0, l.err
	}
	n, err := l.in.Read(p)
	l.left -= n
	if err != nil && err != io.EOF { // readers return io.EOF itself
		l.err = err
	}
	return n, err
}

// list is a text with rows. Its places are called where + line to people who read
// of a row, and errors + line in errors.
type list struct {
	in            io.Reader
	where, errors string
}

// each hands every row to do. The error of do comes back as it is.
func (l list) each(ctx context.Context, do func(reconcile.Subscription) error) error {
	in := &limited{in: l.in, left: maxRow}
	last := 0
	rows, err := open(in)
	for err == nil {
		if ctx.Err() != nil {
			break
		}
		in.left = maxRow
		var r row
		if r, err = rows.next(); err != nil {
			break
		}
		last = r.line
		if err := do(r.subscription(l.where + strconv.Itoa(r.line))); err != nil {
			return err
		}
	}
	at := func(line int) string { return l.errors + strconv.Itoa(line) }
	broken, isFault := errors.AsType[*fault](err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", at(max(last, 1)), context.Cause(ctx))
	case errors.Is(in.err, errRowTooLong):
		return fmt.Errorf("%s: %w", at(last+1), in.err)
	case in.err != nil:
		return fmt.Errorf("%s: the list broke off after this line and is not complete: %w", at(max(last, 1)), in.err)
	case isFault:
		return fmt.Errorf("%s: %w", at(broken.line), broken)
	case errors.Is(err, io.EOF):
		return nil
	}
	return fmt.Errorf("%s: %w", at(max(last, 1)), err)
}

// open finds out the format.
func open(src io.Reader) (rows, error) {
	in := bufio.NewReaderSize(src, bufferSize)
	head, _ := in.Peek(3) // the error comes again with the next reading
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = in.Discard(3)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return nil, faultf(1, "the text is UTF-16; save it as UTF-8")
	}
	blank, first, err := skipBlank(in)
	if err != nil {
		return nil, err
	}
	switch first {
	case '{':
		return &jsonLines{in: in, line: blank}, nil
	case '[':
		return newJSONArray(in, blank)
	}
	return newCSV(in, blank)
}

// skipBlank returns how many lines it skipped, and the byte that comes next.
func skipBlank(in *bufio.Reader) (lines int, first byte, err error) {
	for {
		c, err := in.ReadByte()
		if err != nil {
			return lines, 0, err
		}
		switch c {
		case '\n':
			lines++
		case ' ', '\t', '\r':
		default:
			return lines, c, in.UnreadByte()
		}
	}
}
