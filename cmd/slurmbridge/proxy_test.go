package main

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

// wire is the way from a bridge to the API server, which a test can cut.
type wire struct {
	config *rest.Config
	denied atomic.Bool // every request is answered with 401

	listener net.Listener
	mu       sync.Mutex
	mode     int
	conns    map[net.Conn]bool
}

// What becomes of connections.
const (
	whole  = iota
	cut    // they are closed
	frozen // they are accepted, and nothing ever comes
)

func newWire(t *testing.T) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{config: rest.CopyConfig(apiServer), listener: l, conns: map[net.Conn]bool{}}
	server, err := url.Parse(apiServer.Host)
	if err != nil {
		t.Fatal(err)
	}
	w.config.Host = "https://" + l.Addr().String()
	w.config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &gate{T: t, next: next, wire: w} })
	var served sync.WaitGroup
	served.Go(func() { w.serve(&served, server.Host) })
	t.Cleanup(func() {
		_ = l.Close()
		w.set(cut)
		served.Wait()
	})
	return w
}

func (w *wire) serve(served *sync.WaitGroup, server string) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		served.Go(func() { w.pass(client, server) })
	}
}

// pass carries one connection for as long as it is not cut.
func (w *wire) pass(client net.Conn, server string) {
	defer client.Close()
	there, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer there.Close()
	w.mu.Lock()
	w.conns[client], w.conns[there] = true, true
	if w.mode == cut {
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

// set changes what becomes of all connections, those that are open included.
func (w *wire) set(mode int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mode = mode; mode == frozen {
		return
	}
	for c := range w.conns { // what was frozen lacks bytes
		_ = c.Close()
	}
}

// valve drops what is written while the wire is frozen.
type valve struct {
	net.Conn
	wire *wire
}

func (v *valve) Write(p []byte) (int, error) {
	v.wire.mu.Lock()
	drop := v.wire.mode == frozen
	v.wire.mu.Unlock()
	if drop {
		return len(p), nil
	}
	return v.Conn.Write(p)
}

// gate refuses what a bridge has no right to, and everything as a server does that does not know a token any more.
type gate struct {
	*testing.T
	next http.RoundTripper
	wire *wire
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	code := http.StatusUnauthorized
	if !g.wire.denied.Load() {
		if allowed(g.T, r) {
			return g.next.RoundTrip(r)
		}
		g.Errorf("%s %s is not among the rules of config/rbac/bridge.yaml", r.Method, r.URL)
		code = http.StatusForbidden
	}
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r,
	}, nil
}
