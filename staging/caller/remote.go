package caller

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
)

// remote is a Python process that Serve has started. It ends with its connection.
type remote struct {
	conn  net.Conn
	lines *bufio.Reader

	mu    sync.Mutex
	ended string // what Serve says of its end
}

// last is the line after all answers: how the process ended.
type last struct {
	Ended string `json:"ended"`
}

func dial(ctx context.Context, socket string, o order) (*remote, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, unreached(err)
	}
	line, err := json.Marshal(o)
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		return nil, errors.Join(unreached(err), conn.Close())
	}
	return &remote{conn: conn, lines: bufio.NewReader(conn)}, nil
}

// unreached says where to look: the container is in the Pod of this process, whose name is the host's.
func unreached(err error) error {
	host, _ := os.Hostname() // which a Pod has
	return fmt.Errorf("reaching the container for staging: %w: kubectl describe pod %s tells what it waits for", err, host)
}

func (r *remote) exchange(line []byte) []byte {
	_, _ = r.conn.Write(line) // what became of the process may still be to read where it cannot be written to
	answer, err := r.lines.ReadBytes('\n')
	if err != nil {
		return nil
	}
	var l last
	if json.Unmarshal(answer, &l) == nil && l.Ended != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = l.Ended
		return nil
	}
	return answer
}

func (r *remote) end() { _ = r.conn.Close() }

func (r *remote) how() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == "" {
		return "with its container"
	}
	return r.ended
}

// Serve runs Python processes for Callers whose Config has the socket as Remote, each for as long as its connection, until ctx
// ends.
func Serve(ctx context.Context, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a Serve that was killed
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var served sync.WaitGroup
	defer served.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		served.Go(func() { serve(ctx, conn) })
	}
}

// serve carries lines between a connection and a process, and at the end says how it ended.
func serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	lines := bufio.NewReader(conn)
	how := func() string {
		var o order
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &o)
		}
		if err != nil {
			return err.Error()
		}
		return o.carry(lines, conn)
	}()
	if line, err := json.Marshal(last{how}); err == nil { // always
		_, _ = conn.Write(append(line, '\n')) // who has gone needs no word
	}
}

// carry runs a process until it ends or no more requests can come.
func (o order) carry(requests io.Reader, replies io.Writer) string {
	log, err := os.OpenFile(string(o.Log), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err.Error()
	}
	defer log.Close()
	p, err := o.start(nil, &tail{to: log})
	if err != nil {
		return err.Error()
	}
	go func() { // ends with the connection, which serve closes
		_, _ = io.Copy(p.requests, requests)
		p.kill()
	}()
	_, _ = io.Copy(replies, p.replies)
	<-p.dead
	_, _ = p.requests.Close(), p.replies.Close()
	return p.how()
}
