package whmfake

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// chunk is what metadata tells about a page.
type chunk struct {
	Start   int `json:"start"` // the first record, from 1
	Size    int `json:"size"`
	Records int `json:"records"` // in all
	Chunks  int `json:"chunks"`
	Current int `json:"current"` // the number of this page, from 1
}

// page cuts what api.chunk.* asks for out of records. The chunk is nil unless it
// is to be told.
func (c call) page(records []record, v Variant) ([]record, *chunk) {
	size, err := strconv.Atoi(c.get("api.chunk.size"))
	if !c.flag("api.chunk.enable") || v.NoChunks || err != nil || size < 1 {
		return records, nil
	}
	start, err := strconv.Atoi(c.get("api.chunk.start"))
	if err != nil || start < 1 {
		start = 1
	}
	if start > len(records) && v.FirstPageAgain {
		start = 1
	}
	told := &chunk{
		Start: start, Size: size, Records: len(records),
		Chunks: (len(records) + size - 1) / size, Current: (start-1)/size + 1,
	}
	if !c.flag("api.chunk.verbose") || v.SilentChunks {
		told = nil
	}
	from := min(start-1, len(records))
	return records[from:min(len(records), from+min(size, len(records)))], told
}

// record is one entry of a list, by field.
type record map[string]any

// filter keeps the records that all filters api.filter.X.field/type/arg0 match.
func (c call) filter(records []record) []record {
	for name := range c.params {
		key, ok := strings.CutSuffix(name, ".field")
		if !ok || !strings.HasPrefix(key, "api.filter.") {
			continue
		}
		matches, ok := comparison(c.get(key+".type"), c.get(key+".arg0"))
		if !ok {
			continue
		}
		field := c.get(name)
		records = slices.DeleteFunc(slices.Clone(records), func(r record) bool {
			text, _ := scalar(r[field])
			return !matches(text)
		})
	}
	return records
}

func comparison(kind, arg string) (matches func(string) bool, ok bool) {
	switch kind {
	case "eq", "==":
		return func(s string) bool { return s == arg }, true
	case "contains", "":
		return func(s string) bool { return strings.Contains(s, arg) }, true
	case "begins":
		return func(s string) bool { return strings.HasPrefix(s, arg) }, true
	case "ends":
		return func(s string) bool { return strings.HasSuffix(s, arg) }, true
	case "matches":
		re, err := regexp.Compile(arg)
		if err != nil {
			return nil, false
		}
		return re.MatchString, true
	}
	return nil, false
}

// columns keeps the fields that api.columns.X or want name, all where none is
// named.
func (c call) columns(records []record, v Variant) {
	var wanted []string
	if c.flag("api.columns.enable") && !v.NoChunks {
		for name, values := range c.params {
			if strings.HasPrefix(name, "api.columns.") && name != "api.columns.enable" {
				wanted = append(wanted, values...)
			}
		}
	}
	if want := c.get("want"); want != "" {
		wanted = append(wanted, strings.Split(want, ",")...)
	}
	if len(wanted) == 0 {
		return
	}
	for _, r := range records {
		for field := range r {
			if !slices.Contains(wanted, field) {
				delete(r, field)
			}
		}
	}
}
