package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/url"
	"slices"
)

// maxPairs is how many fields a form may have, known or not.
const maxPairs = 10_000

// readForm reads a form as it arrives and keeps the named fields. It takes what
// url.ParseQuery takes, and holds at most maxPart bytes of the rest: a client that
// sends a megabyte slowly, on many connections at once, would else have the
// memory of them all.
func readForm(body io.Reader, names []string) (fields, error) {
	in := bufio.NewReaderSize(body, maxPart)
	found := fields{}
	for range maxPairs {
		pair, err := in.ReadSlice('&')
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long && !errors.Is(err, io.EOF) {
			return nil, unreadable(err)
		}
		name, value, problem := parsePair(bytes.TrimSuffix(pair, []byte("&")), long)
		switch known := slices.Contains(names, name); {
		case problem != nil:
			return nil, problem
		case known && long:
			return nil, tooLongPart(name)
		case known:
			found[name] = append(found[name], value)
		}
		if long {
			err = skipPair(in, pair)
		}
		switch {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, notAForm()
}

// parsePair returns a name and its value, of a long pair the name alone, which is
// empty when it is the longer part.
func parsePair(pair []byte, long bool) (name, value string, err error) {
	if bytes.IndexByte(pair, ';') >= 0 {
		return "", "", notAForm()
	}
	encodedName, encodedValue, hasValue := bytes.Cut(pair, []byte("="))
	if long && !hasValue {
		return "", "", nil
	}
	if name, err = url.QueryUnescape(string(encodedName)); err != nil {
		return "", "", notAForm()
	}
	if long {
		return name, "", nil
	}
	if value, err = url.QueryUnescape(string(encodedValue)); err != nil {
		return "", "", notAForm()
	}
	return name, value, nil
}

// skipPair reads to the end of a long pair that begins with start.
func skipPair(in *bufio.Reader, start []byte) error {
	var (
		digits int // of a percent-encoding, still to come
		end    error
	)
	for part, more := start, true; ; {
		for _, char := range part {
			switch {
			case digits > 0 && !isHex(char), char == ';':
				return notAForm()
			case digits > 0:
				digits--
			case char == '%':
				digits = 2
			}
		}
		switch {
		case more:
		case digits > 0:
			return notAForm()
		default:
			return end
		}
		part, end = in.ReadSlice('&')
		more = errors.Is(end, bufio.ErrBufferFull)
		if end != nil && !more && !errors.Is(end, io.EOF) {
			return unreadable(end)
		}
	}
}

func isHex(char byte) bool {
	return char >= '0' && char <= '9' || char >= 'a' && char <= 'f' || char >= 'A' && char <= 'F'
}
