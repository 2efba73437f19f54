package embedded

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// listener knows its connections, so that they can be ended: http.Server.Shutdown would wait 5 s for one that
// has not sent a request yet.
type listener struct {
	net.Listener
	ip    net.IP
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// listen opens addr, which must be on a loopback interface; "" is any free port.
func listen(addr string) (*listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q is not of the form 127.0.0.1:PORT or [::1]:PORT", addr)
	}
	if !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("address %q can be reached from other hosts: use 127.0.0.1:PORT or [::1]:PORT", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: l, ip: at.Addr().AsSlice(), conns: map[net.Conn]struct{}{}}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return &conn{Conn: c, listener: l}, nil
}

// closeConns ends all connections; the server's side of each sees that, and removes it.
func (l *listener) closeConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

type conn struct {
	net.Conn
	listener *listener
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
