package whmfake_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/api/whm/whmfake"
)

// faults returns which of so many requests the rule spoils.
func faults(rule whmfake.Rule, requests ...whmfake.Request) string {
	var b strings.Builder
	for _, r := range requests {
		b.WriteString(rule(r).String() + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestRulesPickRequests(t *testing.T) {
	half := whmfake.Fault{Kind: whmfake.HalfJSON}
	busy := whmfake.Fault{Kind: whmfake.Status}
	r := whmfake.Request{Function: "version"}
	batch := whmfake.Request{Function: "batch", Functions: []string{"applist", "create_integration_link"}}
	tests := []struct {
		name     string
		rule     whmfake.Rule
		requests []whmfake.Request
		want     string
	}{
		{"always", whmfake.Always(half), []whmfake.Request{r, r}, "half JSON half JSON"},
		{"once", whmfake.Once(half), []whmfake.Request{r, r}, "half JSON none"},
		{"the third", whmfake.Nth(3, half), []whmfake.Request{r, r, r, r}, "none none half JSON none"},
		{"a sequence", whmfake.Sequence(half, whmfake.Fault{}, busy), []whmfake.Request{r, r, r, r}, "half JSON none status 503 none"},
		{"a function", whmfake.On("create_integration_link", whmfake.Once(half)), []whmfake.Request{r, batch, batch}, "none half JSON none"},
		{"the batch itself", whmfake.On("batch", whmfake.Always(half)), []whmfake.Request{r, batch}, "none half JSON"},
	}
	for _, tt := range tests {
		if got := faults(tt.rule, tt.requests...); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestARuleSeesTheRequest(t *testing.T) {
	p := newPanel(t, whmfake.Config{})
	var got []string
	p.SetFault(func(r whmfake.Request) whmfake.Fault {
		got = append(got, fmt.Sprint(r, r.Commands()))
		return whmfake.Fault{}
	})
	p.call(t, "list_integration_links", "user=bob")
	p.batch(t, "", "list_integration_links?user=bob", "version")
	if want := "[{list_integration_links [] bob 1} 1 {batch [list_integration_links version] bob 2} 2]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestRefusalsSpoilSingleCommands(t *testing.T) {
	p := newPanel(t, whmfake.Config{State: newState(t, "bob", "eve")})
	p.SetRefusal(func(c whmfake.Call) string {
		if c.User == "eve" && c.Write {
			return "The file system is read-only."
		}
		return ""
	})
	_, results := p.batch(t, "", "remove_integration_link?user=bob&app=a", "remove_integration_link?user=eve&app=a", "list_integration_links?user=eve")
	if !results[0].ok() || results[1].ok() || !strings.HasSuffix(results[1].Metadata.Reason, ") The file system is read-only.") || !results[2].ok() {
		t.Errorf("got %+v", results)
	}
	p.SetRefusal(nil)
	if a := p.call(t, "remove_integration_link", "user=eve&app=a"); !a.ok() {
		t.Errorf("got %s, want no refusal any more", a.Metadata.Reason)
	}
}

func TestALatencyIsOfTheWholeRequest(t *testing.T) {
	var waited []time.Duration
	p := newPanel(t, whmfake.Config{
		PerRequest: time.Hour, PerCommand: time.Minute,
		Wait: func(_ context.Context, d time.Duration) { waited = append(waited, d) },
	})
	p.call(t, "version", "")
	p.batch(t, "", "version", "version", "version")
	p.SetFault(whmfake.Once(whmfake.Fault{Kind: whmfake.Slow, Delay: time.Second}))
	p.SetLatency(0, 0)
	p.call(t, "version", "")
	p.call(t, "version", "")
	if got, want := fmt.Sprint(waited), "[1h1m0s 1h3m0s 1s]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	tests := []struct {
		name  string
		fault whmfake.FaultKind
		wait  time.Duration
	}{
		{"before executing", whmfake.Hang, 0},
		{"after executing", whmfake.LateHang, 0},
		{"in a latency", whmfake.NoFault, time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPanel(t, whmfake.Config{PerRequest: tt.wait})
			arrived := make(chan struct{})
			p.SetFault(func(whmfake.Request) whmfake.Fault {
				close(arrived)
				return whmfake.Fault{Kind: tt.fault}
			})
			ended := make(chan error)
			req := ok(http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/json-api/version?api.version=1", nil))(t)
			req.Header.Set("Authorization", "whm root:"+apiToken)
			go func() {
				resp, err := p.client.Do(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				ended <- err
			}()
			<-arrived
			p.Close()
			if err := <-ended; err == nil {
				t.Error("got an answer")
			}
		})
	}
}

func TestCloseWaitsForWhatRuns(t *testing.T) {
	arrived := make(chan struct{})
	var ended atomic.Bool
	p := newPanel(t, whmfake.Config{PerRequest: time.Hour, Wait: func(ctx context.Context, _ time.Duration) {
		close(arrived)
		<-ctx.Done()
		for range 10_000 { // time enough for a Close that does not wait
			runtime.Gosched()
		}
		ended.Store(true)
	}})
	req := ok(http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/json-api/version?api.version=1", nil))(t)
	req.Header.Set("Authorization", "whm root:"+apiToken)
	var client sync.WaitGroup
	client.Go(func() {
		if resp, err := p.client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	})
	<-arrived
	p.Close()
	if !ended.Load() {
		t.Error("Close has returned while a request was executed")
	}
	if len(p.Journal()) != 1 {
		t.Error("the request was not executed: a server does not notice that a client has gone")
	}
	client.Wait()
}

func TestDownAndUpKeepThePort(t *testing.T) {
	p := newPanel(t, whmfake.Config{})
	before := p.URL()
	for range 3 {
		p.call(t, "version", "")
		p.Down()
		p.Down()
		req := ok(http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/json-api/version", nil))(t)
		if resp, err := p.client.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Fatal("got an answer of a server that is down")
		}
		must(t, p.Up())
		must(t, p.Up())
	}
	if p.call(t, "version", ""); p.URL() != before {
		t.Errorf("got %s, want %s", p.URL(), before)
	}
}

func TestSettingsChangeWhileRequestsRun(t *testing.T) {
	p := newPanel(t, whmfake.Config{State: newState(t, "bob", "eve")})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				switch i {
				case 0:
					p.SetVariant(whmfake.Variants()[n%len(whmfake.Variants())])
					p.SetFault(whmfake.Once(whmfake.Fault{Kind: whmfake.Slow}))
				case 1:
					p.SetRefusal(func(whmfake.Call) string { return "no" })
					p.SetLatency(0, 1)
					p.SetMissing("version")
				case 2:
					p.Journal()
					p.Reset()
				default:
					p.send(t, http.MethodPost, "/json-api/batch", formType, "whm root:"+apiToken,
						"api.version=1&command=listaccts&command=update_integration_link_token%3Fuser%3Dbob%26app%3Da%26token%3Dt")
				}
			}
		})
	}
	wg.Wait()
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	for _, cfg := range []whmfake.Config{{}, {Token: "x"}, {State: newState(t)}} {
		if s, err := whmfake.New(cfg); err == nil {
			s.Close()
			t.Errorf("New(%+v): got no error", cfg)
		}
	}
}
