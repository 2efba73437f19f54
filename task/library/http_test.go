package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// post sends a file of the content to a server and returns what is in the output.
func post(t *testing.T, h HTTPRequest, content string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	input, output := filepath.Join(dir, "a b.txt"), filepath.Join(dir, "out")
	for path, text := range map[string]string{input: content, output: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := h.Run(t.Context(), input, output)
	if err := h.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	return string(got), failed
}

func serveHTTP(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

func TestHTTPRequest(t *testing.T) {
	t.Setenv("LIBRARY_TEST_TOKEN", "Bearer s3cret")
	address := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s %q", r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("Authorization"), body)
	})
	for _, tt := range []struct {
		name, content, want string
		request             HTTPRequest
	}{
		{
			"post", "hello", `POST /v1/a%20b?n=a%20b.txt text/plain Bearer s3cret "hello"`,
			HTTPRequest{URL: address + "/v1/{stem}?n={name}", Method: "POST", ContentType: "text/plain", HeaderEnv: []string{"Authorization=LIBRARY_TEST_TOKEN"}},
		},
		{"get sends no body", "hello", `GET / text/plain  ""`, HTTPRequest{URL: address, Method: "GET", ContentType: "text/plain"}},
		{"empty", "", `PUT / text/plain  ""`, HTTPRequest{URL: address, Method: "PUT", ContentType: "text/plain"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := post(t, tt.request, tt.content)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// What the server refuses for now is asked for again, with the whole body; what it refuses for good is not.
func TestHTTPRequestRetries(t *testing.T) {
	for _, tt := range []struct {
		name     string
		statuses []int
		want     string // of the error; "" is success
		requests int64
	}{
		{"at once", []int{200}, "", 1},
		{"after 429 and 503", []int{429, 503, 502, 504, 200}, "", 5},
		{"refused for good", []int{404}, "the server answered 404 Not Found: answer 404", 1},
		{"refused too often", []int{503, 503, 503, 503, 503, 503, 503}, "the server answered 503 Service Unavailable: answer 503", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int64
			address := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				status := tt.statuses[n.Add(1)-1]
				body, _ := io.ReadAll(r.Body)
				if string(body) != "hello" {
					status = http.StatusTeapot
				}
				w.WriteHeader(status)
				fmt.Fprintf(w, "answer %d", status)
			})
			got, err := post(t, HTTPRequest{URL: address, Method: "POST", Retries: 4, first: time.Millisecond}, "hello")
			switch {
			case tt.want == "" && (err != nil || got != "answer 200"):
				t.Errorf("got %q, %v", got, err)
			case tt.want != "" && (err == nil || err.Error() != tt.want || got != ""):
				t.Errorf("got %q and error %v, want %q", got, err, tt.want)
			}
			if n.Load() != tt.requests {
				t.Errorf("%d requests, want %d", n.Load(), tt.requests)
			}
		})
	}
}

// A server that asks for time gets it from all files, not only from the one it told.
func TestHTTPRequestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-3": 0, "7": 7 * time.Second, "99999999": 24 * time.Hour,
		"Wed, 02 Jan 2030 03:05:05 GMT": time.Minute, "Wed, 02 Jan 2030 03:04:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	var asked atomic.Bool
	var second time.Time
	address := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		if !asked.Swap(true) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		second = time.Now()
	})
	began := time.Now()
	if _, err := post(t, HTTPRequest{URL: address, Method: "POST", Retries: 1}, "x"); err != nil {
		t.Fatal(err)
	}
	if waited := second.Sub(began); waited < time.Second {
		t.Errorf("asked again after %s", waited)
	}
	address = serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := post(t, HTTPRequest{URL: address, Method: "POST", Retries: 1}, "x")
	if err == nil || !strings.Contains(err.Error(), "24h0m0s, which is too long to wait") {
		t.Errorf("error %v", err)
	}
}

// Concurrent files keep the rate together.
func TestHTTPRequestRate(t *testing.T) {
	p := pace{gap: 10 * time.Millisecond}
	began := time.Now()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := p.wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took < 90*time.Millisecond {
		t.Errorf("10 requests at 100 a second took %s", took)
	}
	p.hold(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting after the end: %v", err)
	}
}

func TestHTTPRequestSetupErrors(t *testing.T) {
	for want, h := range map[string]HTTPRequest{
		`url "x": give one that begins with http:// or https:// and a host`: {URL: "x"},
		`url "ftp://h/": give one that begins with http:// or https:// and`: {URL: "ftp://h/"},
		`rate, retries and timeout must not be negative`:                    {URL: "http://h", Rate: -1},
		`header_env "A": give NAME=VARIABLE, as in Authorization=API_TOKEN`: {URL: "http://h", HeaderEnv: []string{"A"}},
		`header_env A: the environment has no variable LIBRARY_TEST_ABSENT`: {URL: "http://h", HeaderEnv: []string{"A=LIBRARY_TEST_ABSENT"}},
	} {
		if err := h.Setup(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// No secret of the URL gets into an error, and so into an error file.
func TestHTTPRequestHidesQuery(t *testing.T) {
	_, err := post(t, HTTPRequest{URL: "http://127.0.0.1:1/?key=s3cret", Method: "POST", Timeout: time.Minute}, "x")
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}
