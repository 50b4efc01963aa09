package whmfake

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// accessLog writes a line for each request in the common log format. Only what a
// web server would write is in it: the request line with its query, no header and
// no body.
type accessLog struct {
	user string

	mu sync.Mutex
	to io.Writer
}

func (l *accessLog) line(r *http.Request, status, size int) {
	if l.to == nil {
		return
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "-"
	}
	user := "-"
	if status != http.StatusForbidden {
		user = l.user
	}
	request := strings.Map(printable, r.Method+" "+r.RequestURI+" "+r.Proto)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.to, "%s - %s [%s] \"%s\" %d %d\n",
		host, user, time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), request, status, size)
}

func printable(r rune) rune {
	if r < ' ' || r == '"' || r == 0x7f {
		return '?'
	}
	return r
}
