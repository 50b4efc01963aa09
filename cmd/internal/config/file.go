package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

const maxFile = 1 << 20 // bytes

// readFile returns the file's bytes, or notes why there are none.
func readFile(found *findings, path string) ([]byte, bool) {
	data, err := readLimited(path, maxFile)
	switch {
	case err == nil:
		return data, true
	case errors.Is(err, errTooLarge):
		tooLarge(found)
	case errors.Is(err, os.ErrNotExist):
		found.at(0, "", "there is no such file: give its path with -c, or begin with `broker config example`")
	default:
		found.at(0, "", "cannot be read: "+cause(err))
	}
	return nil, false
}

func tooLarge(found *findings) {
	found.at(0, "", "is over 1 MiB, which no configuration needs: check that it is the right file")
}

var errTooLarge = errors.New("the file is too large")

// readLimited reads a file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("it is a directory")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}

// cause is an error's text without the path, which the caller has named.
func cause(err error) string {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// parseYAML returns the document's root, nil for an empty file. What is not one
// well-formed document is noted as one problem.
func parseYAML(found *findings, data []byte) (root *yaml.Node, ok bool) {
	if len(data) > maxFile {
		tooLarge(found)
		return nil, false
	}
	documents, err := decodeYAML(data)
	switch {
	case err != nil:
		found.at(errorLine(data), "", "is not valid YAML: "+plainYAMLError(err))
		return nil, false
	case len(documents) > 1:
		found.at(documents[1].Line, "", "has a second YAML document: keep one, and remove the line ---")
		return nil, false
	case len(documents) == 0 || isNull(documents[0].Content[0]):
		return nil, true
	}
	root = documents[0].Content[0]
	if root.Kind != yaml.MappingNode {
		found.at(root.Line, "", "must have the sections store, broker, portals, ... at its top, not "+nodeNoun(root))
		return nil, false
	}
	return root, true
}

func decodeYAML(data []byte) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
			return documents, nil
		} else if err != nil {
			return nil, err
		}
		if len(n.Content) == 0 {
			return documents, nil
		}
		documents = append(documents, &n)
	}
}

var yamlErrorPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

func plainYAMLError(err error) string {
	text := yamlErrorPrefix.ReplaceAllString(err.Error(), "")
	switch {
	case strings.Contains(text, "cannot start any token"):
		text += " (indent with spaces, not tabs; quote text that begins with @, %, ` or a tab)"
	case strings.Contains(text, "did not find expected key"):
		text += " (check the indentation of this line against the lines before)"
	}
	return text
}

// errorLine finds the line in which the file stops being YAML: the one after the
// longest run of lines from the top that parses. The parser's own line is that of
// the surrounding construct, often far above, and missing for some errors.
func errorLine(data []byte) int {
	var ends []int // offsets behind each line
	for i, b := range data {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	parses := func(lines int) bool {
		if lines == 0 {
			return true
		}
		_, err := decodeYAML(data[:ends[lines-1]])
		return err == nil
	}
	// A prefix may fail only because it cuts a construct in two, so the search looks
	// some lines further before it settles.
	// The work is bounded: in bytes, for the sake of large files.
	const further = 40
	work := 4 << 20
	good, bad := 0, len(ends)+1
	for good+1 < bad {
		if middle := (good + bad) / 2; parses(middle) {
			good = middle
		} else {
			bad = middle
		}
		if good+1 == bad {
			for next := bad + 1; next <= min(good+further, len(ends)) && work > 0; next++ {
				work -= ends[next-1]
				if parses(next) {
					good, bad = next, len(ends)+1
					break
				}
			}
		}
	}
	return good + 1
}

func nodeNoun(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section with keys"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("the value %s", quote(n.Value))
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
