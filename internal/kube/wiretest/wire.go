// Package wiretest puts a wire between a program under test and the API server: tests can cut it, and it lets through only what the
// program has a right to.
package wiretest

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// Wire is the way from a program to the API server.
type Wire struct {
	Config *rest.Config // of the program
	Denied atomic.Bool  // every request is answered with 401

	listener net.Listener
	mu       sync.Mutex
	mode     Mode
	conns    map[net.Conn]bool
}

// Mode is what becomes of connections.
type Mode int

// Modes.
const (
	Whole  Mode = iota
	Cut         // they are closed
	Frozen      // they are accepted, and nothing ever comes
)

// New is a Wire to a server for as long as the test. It refuses what rules do not allow, and fails the test for it.
func New(t *testing.T, to *rest.Config, rules *Rules) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Config: rest.CopyConfig(to), listener: l, conns: map[net.Conn]bool{}}
	server, err := url.Parse(to.Host)
	if err != nil {
		t.Fatal(err)
	}
	w.Config.Host = "https://" + l.Addr().String()
	w.Config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &gate{T: t, next: next, wire: w, rules: rules} })
	var served sync.WaitGroup
	served.Go(func() { w.serve(&served, server.Host) })
	t.Cleanup(func() {
		_ = l.Close()
		w.Set(Cut)
		served.Wait()
	})
	return w
}

func (w *Wire) serve(served *sync.WaitGroup, server string) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		served.Go(func() { w.pass(client, server) })
	}
}

// pass carries one connection for as long as it is not cut.
func (w *Wire) pass(client net.Conn, server string) {
	defer client.Close()
	there, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer there.Close()
	w.mu.Lock()
	w.conns[client], w.conns[there] = true, true
	if w.mode == Cut {
		_ = client.Close()
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, client)
		delete(w.conns, there)
	}()
	var both sync.WaitGroup
	for _, ends := range [][2]net.Conn{{client, there}, {there, client}} {
		both.Go(func() {
			_, _ = io.Copy(&valve{Conn: ends[1], wire: w}, ends[0])
			_ = ends[0].Close()
			_ = ends[1].Close()
		})
	}
	both.Wait()
}

// Set changes what becomes of all connections, those that are open included.
func (w *Wire) Set(mode Mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mode = mode; mode == Frozen {
		return
	}
	for c := range w.conns { // what was frozen lacks bytes
		_ = c.Close()
	}
}

// valve drops what is written while the wire is frozen.
type valve struct {
	net.Conn
	wire *Wire
}

func (v *valve) Write(p []byte) (int, error) {
	v.wire.mu.Lock()
	drop := v.wire.mode == Frozen
	v.wire.mu.Unlock()
	if drop {
		return len(p), nil
	}
	return v.Conn.Write(p)
}

// gate refuses what a program has no right to, and everything as a server does that does not know a token any more.
type gate struct {
	*testing.T
	next  http.RoundTripper
	wire  *Wire
	rules *Rules
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	code := http.StatusUnauthorized
	if !g.wire.Denied.Load() {
		if g.rules.allow(g.T, r) {
			return g.next.RoundTrip(r)
		}
		g.Errorf("%s %s is not among the rules of the program", r.Method, r.URL)
		code = http.StatusForbidden
	}
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r,
	}, nil
}
