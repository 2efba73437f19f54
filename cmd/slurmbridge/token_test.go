package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/internal/kube/wiretest"
)

// tokenText is a token of the ServiceAccount lab/tigerflow-bridge-default, as far as clients read it.
func tokenText(issued, expires time.Time) string {
	claims := fmt.Sprintf(`{"sub":"system:serviceaccount:lab:tigerflow-bridge-default","aud":["api"],"iat":%d,"exp":%d}`, issued.Unix(), expires.Unix())
	return "head." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".signature"
}

func TestParseToken(t *testing.T) {
	at := func(claims string) string { return "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s" }
	for text, want := range map[string]string{
		"":                "it is no JSON Web Token",
		"a.b.c":           "it is no JSON Web Token",
		at(`{"sub":"u"}`): "it is not one of a ServiceAccount",
		at(`{"sub":"system:serviceaccount:lab"}`):             "it is not one of a ServiceAccount",
		at(`{"sub":"system:serviceaccount:lab:b","aud":7}`):   "its audience is neither a text nor a list",
		at(`{"sub":"system:serviceaccount:lab:b","aud":"x"}`): "",
		at(`{"sub":"system:serviceaccount:lab:b"}`) + "\n":    "",
	} {
		got, err := parseToken(text)
		if want == "" && (err != nil || got.namespace != "lab" || got.account != "b" || !got.expires.IsZero()) || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%q: %+v, %v; want %q", text, got, err, want)
		}
	}
	issued := time.Unix(1000, 0)
	got, err := parseToken(tokenText(issued, issued.Add(100*time.Second)))
	if err != nil || !got.due().Equal(time.Unix(1080, 0)) || len(got.audiences) != 1 {
		t.Errorf("%+v, %v, due %s", got, err, got.due())
	}
}

// tokenServer speaks the token subresource of ServiceAccounts, which the embedded API server has not, and nothing else.
func tokenServer(t *testing.T, answer func(*authenticationv1.TokenRequest) int) corev1.ServiceAccountsGetter {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request authenticationv1.TokenRequest
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/namespaces/lab/serviceaccounts/tigerflow-bridge-default/token" || json.NewDecoder(r.Body).Decode(&request) != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer(&request))
		_ = json.NewEncoder(w).Encode(&request)
	}))
	t.Cleanup(server.Close)
	wire := wiretest.New(t, &rest.Config{
		Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}, TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}, rights)
	c, err := corev1.NewForConfig(wire.Config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokenIsRenewed(t *testing.T) {
	fresh := tokenText(time.Now(), time.Now().Add(time.Hour))
	asked := 0
	accounts := tokenServer(t, func(r *authenticationv1.TokenRequest) int {
		asked++
		if *r.Spec.ExpirationSeconds != 3600 || len(r.Spec.Audiences) != 1 || r.Spec.Audiences[0] != "api" {
			t.Errorf("asked for %+v", r.Spec)
		}
		r.Status = authenticationv1.TokenRequestStatus{Token: fresh, ExpirationTimestamp: metav1.Now()}
		return http.StatusCreated
	})
	dir := t.TempDir()
	target, file := filepath.Join(dir, "token"), filepath.Join(dir, "link")
	old := time.Now().Add(-50 * time.Minute)
	if err := os.WriteFile(target, []byte(tokenText(old, old.Add(time.Hour))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("token", file); err != nil {
		t.Fatal(err)
	}
	r := &renewer{file: file, accounts: accounts, log: logr.Discard()}
	for range 2 { // the second finds it fresh
		if wait, err := r.step(t.Context()); err != nil || wait < tokenRetry {
			t.Fatalf("it is looked again after %s, %v", wait, err)
		}
	}
	got, err := os.ReadFile(target)
	if err != nil || string(got) != fresh || asked != 1 {
		t.Errorf("asked %d times, have %q (%v)", asked, got, err)
	}
	if info, err := os.Lstat(target); err != nil || info.Mode() != 0o600 {
		t.Errorf("the token is %v, %v", info, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestTokenThatIsNotRenewed(t *testing.T) {
	accounts := tokenServer(t, func(*authenticationv1.TokenRequest) int { return http.StatusForbidden })
	file := filepath.Join(t.TempDir(), "token")
	r := &renewer{file: file, accounts: accounts, log: logr.Discard()}
	old := time.Now().Add(-50 * time.Minute)
	for text, want := range map[string]string{
		tokenText(old, old.Add(time.Hour)):      "asking for one of ServiceAccount lab/tigerflow-bridge-default: ",
		tokenText(old, old.Add(10*time.Minute)): "it expired at ",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.step(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
		if got, _ := os.ReadFile(file); string(got) != text {
			t.Errorf("the token became %q", got)
		}
	}
}
