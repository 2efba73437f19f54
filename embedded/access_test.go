package embedded

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func TestAccess(t *testing.T) {
	c := startPlane(t)
	other, err := newPKI(net.IPv4(127, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*rest.Config)
		want   int
	}{
		{"our certificate", func(*rest.Config) {}, http.StatusOK},
		{"no certificate", func(r *rest.Config) { r.CertData, r.KeyData = nil, nil }, http.StatusUnauthorized},
		{"a token", func(r *rest.Config) { r.CertData, r.KeyData, r.BearerToken = nil, nil, "guess" }, http.StatusUnauthorized},
		{"a certificate of another run", func(r *rest.Config) {
			r.CertData, r.KeyData = other.client.cert, other.client.key
		}, http.StatusUnauthorized},
		{"another user", func(r *rest.Config) { r.Impersonate.UserName = "eve" }, http.StatusForbidden},
	} {
		config := c.RESTConfig()
		tt.change(config)
		cl, err := rest.HTTPClientFor(config)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/apis", errandsPath, "/version", "/openapi/v2"} {
			resp, err := cl.Get(config.Host + path)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("%s: GET %s is %d, want %d", tt.name, path, resp.StatusCode, tt.want)
			}
		}
	}
}

func TestStrangersAreNotTrusted(t *testing.T) {
	config := startPlane(t).RESTConfig()
	config.CAData = nil
	cl, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := cl.Get(config.Host + "/version")
	if err == nil {
		resp.Body.Close()
	}
	if !strings.Contains(errorText(err), "certificate") {
		t.Errorf("the server's certificate is trusted without its authority: %v", err)
	}
}

func TestFiles(t *testing.T) {
	c := startPlane(t)
	if err := newClient(t, c).Create(t.Context(), newErrand("shop", "milk")); err != nil {
		t.Fatal(err)
	}
	run := filepath.Dir(c.Kubeconfig())
	for path, want := range map[string]os.FileMode{
		filepath.Dir(run): os.ModeDir | 0o700,
		run:               os.ModeDir | 0o700,
		c.Kubeconfig():    0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	err := filepath.WalkDir(run, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == c.Kubeconfig() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), "PRIVATE KEY") {
			t.Errorf("%s holds a key", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKubeconfig(t *testing.T) {
	c := startPlane(t)
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	cl, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := cl.Get(config.Host + errandsPath)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("with the kubeconfig, GET %s is %d", errandsPath, resp.StatusCode)
	}
}

func TestListen(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"", ""},
		{"127.0.0.1:0", ""},
		{"127.0.0.2:0", ""},
		{"0.0.0.0:0", "can be reached from other hosts: use 127.0.0.1:PORT or [::1]:PORT"},
		{"[::]:0", "can be reached from other hosts"},
		{"192.0.2.1:443", "can be reached from other hosts"},
		{"[::ffff:192.0.2.1]:443", "can be reached from other hosts"},
		{":8080", "is not of the form 127.0.0.1:PORT or [::1]:PORT"},
		{"127.0.0.1", "is not of the form"},
		{"example.org:443", "is not of the form"},
	} {
		l, err := listen(tt.addr)
		if err == nil {
			if !l.ip.IsLoopback() {
				t.Errorf("listen(%q) is on %v", tt.addr, l.Addr())
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := errorText(err); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("listen(%q): %q, want %q", tt.addr, got, tt.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
