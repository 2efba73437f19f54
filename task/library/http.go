package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	backoffFirst = time.Second
	backoffLast  = time.Minute
	// maxRetryAfter bounds what a server may ask for: a longer wait fails the file instead.
	maxRetryAfter = 15 * time.Minute
	// maxErrorBody is how much of the body of a refusal its error quotes, in bytes.
	maxErrorBody = 2 << 10
)

// HTTPRequest sends each input as the body of a request and writes the body of the response. Requests are begun no faster
// than the rate allows, however many files are in flight; a server that answers 429 or 503 is given the time it asks for.
type HTTPRequest struct {
	URL         string        `param:"url" help:"URL to send to; {name} and {stem} stand for the input's name and its name without what follows the last dot"`
	Method      string        `param:"method" default:"POST" help:"Request method; GET and HEAD send no body"`
	ContentType string        `param:"content_type" default:"application/octet-stream" help:"Content-Type of the body"`
	HeaderEnv   []string      `param:"header_env" default:"" help:"Header whose value is that of an environment variable, NAME=VARIABLE (repeatable)"`
	Rate        float64       `param:"rate" default:"0" help:"Most requests begun in a second, retries included; 0 is no limit"`
	Timeout     time.Duration `param:"timeout" default:"60s" help:"Time for one request and its response; 0s is no limit"`
	Retries     int           `param:"retries" default:"5" help:"How often a request is repeated that was answered 429, 502, 503 or 504, or not at all"`

	client *http.Client
	header http.Header
	pace   *pace
	first  time.Duration // of the back-off; 0 is the usual
}

// StatusError is a response that is no success.
type StatusError struct {
	Status string // "404 Not Found"
	Body   string // its beginning
}

func (e *StatusError) Error() string {
	if e.Body == "" {
		return "the server answered " + e.Status
	}
	return "the server answered " + e.Status + ": " + e.Body
}

// Setup checks the params and reads the headers from the environment.
func (h *HTTPRequest) Setup(context.Context) error {
	if u, err := url.Parse(h.target("x")); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("url %q: give one that begins with http:// or https:// and a host", h.URL)
	}
	if h.Rate < 0 || h.Retries < 0 || h.Timeout < 0 {
		return errors.New("rate, retries and timeout must not be negative")
	}
	h.header = http.Header{}
	h.header.Set("Content-Type", h.ContentType)
	for _, pair := range h.HeaderEnv {
		name, variable, _ := strings.Cut(pair, "=")
		if name == "" || variable == "" {
			return fmt.Errorf("header_env %q: give NAME=VARIABLE, as in Authorization=API_TOKEN", pair)
		}
		value, set := os.LookupEnv(variable)
		if !set {
			return fmt.Errorf("header_env %s: the environment has no variable %s: set it", name, variable)
		}
		h.header.Set(name, value)
	}
	h.client = &http.Client{Timeout: h.Timeout}
	h.pace = &pace{}
	if h.Rate > 0 {
		h.pace.gap = time.Duration(float64(time.Second) / h.Rate)
	}
	return nil
}

// Teardown lets go of the connections.
func (h *HTTPRequest) Teardown(context.Context) error {
	h.client.CloseIdleConnections()
	return nil
}

// Run sends one file.
func (h HTTPRequest) Run(ctx context.Context, input, output string) error {
	pause := h.first
	if pause == 0 {
		pause = backoffFirst
	}
	for try := 0; ; try++ {
		if err := h.pace.wait(ctx); err != nil {
			return err
		}
		after, err := h.send(ctx, input, output)
		if err == nil || after < 0 || try >= h.Retries {
			return err
		}
		if after > maxRetryAfter {
			return fmt.Errorf("%w; it asks to come back in %s, which is too long to wait", err, after)
		}
		if after > 0 { // everyone waits: the limit is the server's, not this file's
			h.pace.hold(after)
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, backoffLast)
	}
}

// send makes one request. After an error, after is when to try again: negative is never, 0 leaves it to the caller.
func (h HTTPRequest) send(ctx context.Context, input, output string) (after time.Duration, err error) {
	request, err := h.request(ctx, input)
	if err != nil {
		return -1, err
	}
	response, err := h.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
		return 0, withoutQuery(err)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return refusal(response)
	}
	out, err := os.OpenFile(output, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return -1, err
	}
	_, err = io.Copy(out, response.Body)
	closing := out.Close()
	switch {
	case closing != nil:
		return -1, closing
	case isPathError(err):
		return -1, err
	case err != nil: // the connection broke
		return 0, fmt.Errorf("reading the response: %w", err)
	}
	return 0, nil
}

// request opens the input as the body, anew for each try.
func (h HTTPRequest) request(ctx context.Context, input string) (*http.Request, error) {
	var body io.Reader
	var size int64
	if h.Method != http.MethodGet && h.Method != http.MethodHead {
		file, err := os.Open(input)
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if size = info.Size(); size > 0 {
			body = file // the client closes it
		} else if err := file.Close(); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, h.Method, h.target(filepath.Base(input)), body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = size
	request.Header = h.header.Clone()
	return request, nil
}

func (h HTTPRequest) target(name string) string {
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	return strings.NewReplacer("{name}", url.PathEscape(name), "{stem}", url.PathEscape(stem)).Replace(h.URL)
}

// refusal is the error that a response means, and when to try again.
func refusal(r *http.Response) (time.Duration, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxErrorBody))
	if err != nil {
		text = nil // the status says enough
	}
	refused := &StatusError{Status: r.Status, Body: strings.ToValidUTF8(strings.TrimSpace(string(text)), "?")}
	switch r.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return retryAfter(r.Header.Get("Retry-After"), time.Now()), refused
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return 0, refused
	}
	return -1, refused
}

// retryAfter reads the header: seconds, or a date. 0 is that it says nothing.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), int(24*time.Hour/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// withoutQuery leaves the URL out of a client's error: its query may hold a key.
func withoutQuery(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", u.Op, u.Err)
	}
	return err
}

func isPathError(err error) bool {
	_, ok := errors.AsType[*os.PathError](err)
	return ok
}

// pace spaces the requests of all files.
type pace struct {
	gap time.Duration

	mu   sync.Mutex
	next time.Time // when the next one may begin
}

// wait waits for its turn.
func (p *pace) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(p.gap)
	p.mu.Unlock()
	if !at.After(now) {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(at.Sub(now)):
		return nil
	}
}

// hold has nobody begin for so long.
func (p *pace) hold(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := time.Now().Add(d); at.After(p.next) {
		p.next = at
	}
}
