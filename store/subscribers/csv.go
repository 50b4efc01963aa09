package subscribers

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
)

type csvRows struct {
	in *csv.Reader
	// blank counts the lines that in has not seen.
	blank int
	// columns says where the fields stand, of width columns.
	columns [fieldCount]int
	width   int
}

func newCSV(in *bufio.Reader, blank int) (*csvRows, error) {
	// What has arrived is enough for a hint, and waits for nothing.
	start, _ := in.Peek(in.Buffered())
	separator := otherSeparator(start)
	r := csv.NewReader(in)
	r.TrimLeadingSpace = true // a quote may then stand after a space
	r.FieldsPerRecord = -1    // counted in next, which knows blank lines
	c := &csvRows{in: r, blank: blank}
	header, err := r.Read()
	if err != nil {
		err = c.translate(err)
	} else {
		err = c.find(header)
	}
	if _, is := errors.AsType[*fault](err); is && separator != "" {
		return nil, faultf(blank+1, "the columns seem to be separated by %s; separate them by commas", separator)
	}
	if err != nil {
		return nil, err
	}
	r.ReuseRecord = true
	return c, nil
}

// otherSeparator names what the columns of the first line are separated by, when
// it is not a comma.
func otherSeparator(start []byte) string {
	line, _, _ := bytes.Cut(start, []byte("\n"))
	switch {
	case bytes.ContainsRune(line, ','):
		return ""
	case bytes.ContainsRune(line, ';'):
		return "semicolons"
	case bytes.ContainsRune(line, '\t'):
		return "tabs"
	}
	return ""
}

// find looks for the columns in the header.
func (c *csvRows) find(header []string) error {
	line, _ := c.in.FieldPos(0)
	line += c.blank
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
	}
	var missing []string
	for field, name := range fieldNames() {
		c.columns[field] = slices.Index(header, name)
		switch {
		case c.columns[field] < 0:
			missing = append(missing, name)
		case slices.Contains(header[c.columns[field]+1:], name):
			return faultf(line, "the header has the column %s twice", name)
		}
	}
	if missing != nil {
		return faultf(line, "the header must name the columns %s, but has no %s: it is %.100q",
			strings.Join(fieldList(), ","), strings.Join(missing, " and no "), strings.Join(header, ","))
	}
	c.width = len(header)
	return nil
}

func fieldList() []string {
	names := fieldNames()
	return names[:]
}

func (c *csvRows) next() (row, error) {
	for {
		record, err := c.in.Read()
		if err != nil {
			return row{}, c.translate(err)
		}
		if len(record) == 1 && strings.TrimSpace(record[0]) == "" {
			continue
		}
		line, _ := c.in.FieldPos(0)
		r := row{line: line + c.blank}
		// One field more or less moves the others: somebody would be given another
		// one's subscriber.
		if len(record) != c.width {
			return row{}, faultf(r.line, "the row has not as many fields as the header (%d, not %d): a comma inside a value needs quotes around the value",
				len(record), c.width)
		}
		for field, column := range c.columns {
			r.values[field] = record[column]
		}
		return r, nil
	}
}

func (c *csvRows) translate(err error) error {
	wrong, is := errors.AsType[*csv.ParseError](err)
	if !is {
		return err
	}
	line := wrong.StartLine + c.blank
	if errors.Is(wrong.Err, csv.ErrBareQuote) || errors.Is(wrong.Err, csv.ErrQuote) {
		return faultf(line, "a quote is not closed, or stands inside a value (there it must be doubled, and the value quoted): line %d, column %d",
			wrong.Line+c.blank, wrong.Column)
	}
	return faultf(line, "%v", wrong.Err)
}
