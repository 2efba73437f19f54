package embedded

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"
)

// TestStop stops a control plane with a watch open, a request whose body never ends, one connection that has said
// nothing at all and one that has sent no request yet.
func TestStop(t *testing.T) {
	dir := stateDir(t)
	c, err := Start(t.Context(), Options{Dir: dir, CRDs: testCRDs(t)})
	if err != nil {
		t.Fatal(err)
	}
	host := c.RESTConfig().Host
	watch := openWatch(t, c)
	post := openPost(t, c)
	for _, dial := range []func(string) (net.Conn, error){
		func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) },
		func(addr string) (net.Conn, error) {
			return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		},
	} {
		conn, err := dial(strings.TrimPrefix(host, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}

	if err := c.Stop(); err != nil { // also when it had to wait for any of these
		t.Errorf("Stop: %v", err)
	}
	if _, err := io.Copy(io.Discard, watch); err != nil {
		t.Errorf("the watch did not end as one does: %v", err)
	}
	if err := <-post; err == nil {
		t.Error("the request without an end was answered")
	}
	if err := c.Stop(); err != nil {
		t.Errorf("stopping again: %v", err)
	}
	select {
	case <-c.Done():
	default:
		t.Error("Done is not closed after Stop")
	}
	if left := runsIn(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(host, "https://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a stopped control plane: %v", err)
	}
	if _, err := os.Stat(c.Kubeconfig()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the kubeconfig after Stop: %v", err)
	}
}

// openWatch returns the body of a watch that has begun.
func openWatch(t *testing.T, c *ControlPlane) io.Reader {
	t.Helper()
	cl, err := rest.HTTPClientFor(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := cl.Get(c.RESTConfig().Host + errandsPath + "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true" +
		"&resourceVersionMatch=NotOlderThan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	body := bufio.NewReader(resp.Body)
	if line, err := body.ReadString('\n'); err != nil || !strings.Contains(line, "BOOKMARK") {
		t.Fatalf("watching: status %d, %q, %v", resp.StatusCode, line, err)
	}
	return body
}

// openPost sends a request that is being read when it returns, and delivers how that ends.
func openPost(t *testing.T, c *ControlPlane) <-chan error {
	t.Helper()
	cl, err := rest.HTTPClientFor(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	body, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	done := make(chan error, 1)
	go func() {
		resp, err := cl.Post(c.RESTConfig().Host+errandsPath, "application/json", body)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode >= http.StatusBadRequest {
				err = errors.New(resp.Status)
			}
		}
		done <- err
	}()
	if _, err := io.WriteString(w, `{"apiVersion": "test.tigerflow.dev/v1", `); err != nil {
		t.Fatal(err)
	}
	return done
}
