package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	tokenRetry   = time.Minute
	tokenLook    = 10 * time.Minute // at most, between two looks at the file: a person may replace it
	tokenTimeout = 30 * time.Second // of one request
)

// token is what matters of a ServiceAccount's token. Its signature is the API server's to check.
type token struct {
	namespace, account string
	audiences          []string
	issued, expires    time.Time // expires is zero if it does not expire
}

// parseToken reads a JSON Web Token of a ServiceAccount: RFC 7519, with the subject as Kubernetes makes it.
func parseToken(text string) (token, error) {
	var claims struct {
		Sub string          `json:"sub"`
		Aud json.RawMessage `json:"aud"`
		Exp int64           `json:"exp"`
		Iat int64           `json:"iat"`
	}
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 {
		return token{}, errors.New("it is no JSON Web Token")
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return token{}, errors.New("it is no JSON Web Token")
	}
	if err := json.Unmarshal(body, &claims); err != nil {
		return token{}, errors.New("it is no JSON Web Token")
	}
	var t token
	account, ok := strings.CutPrefix(claims.Sub, "system:serviceaccount:")
	if t.namespace, t.account, _ = strings.Cut(account, ":"); !ok || t.namespace == "" || t.account == "" {
		return token{}, errors.New("it is not one of a ServiceAccount")
	}
	if len(claims.Aud) > 0 && json.Unmarshal(claims.Aud, &t.audiences) != nil { // one, or a list of them
		t.audiences = make([]string, 1)
		if err := json.Unmarshal(claims.Aud, &t.audiences[0]); err != nil {
			return token{}, errors.New("its audience is neither a text nor a list")
		}
	}
	t.issued = time.Unix(claims.Iat, 0)
	if claims.Exp != 0 {
		t.expires = time.Unix(claims.Exp, 0)
	}
	return t, nil
}

// due is when the token is to be renewed: with a fifth of its life left, as kubelets do it.
func (t token) due() time.Time { return t.issued.Add(t.expires.Sub(t.issued) * 4 / 5) }

// renewer keeps the token in a file from expiring. Clients of client-go read the file again every minute.
type renewer struct {
	file     string
	accounts corev1.ServiceAccountsGetter
	log      logr.Logger
}

// run renews the token whenever that is due, until ctx ends.
func (r *renewer) run(ctx context.Context) {
	var last string
	for {
		wait, err := r.step(ctx)
		if err != nil {
			if text := err.Error(); text != last && ctx.Err() == nil {
				r.log.Error(err, "the token of the bridge is not renewed", "file", r.file)
				last = text
			}
			wait = tokenRetry
		} else {
			last = ""
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// step renews the token if that is due, and returns how long to wait until the next look.
func (r *renewer) step(ctx context.Context) (time.Duration, error) {
	text, err := os.ReadFile(r.file)
	if err != nil {
		return 0, err
	}
	t, err := parseToken(string(text))
	if err != nil {
		return 0, err
	}
	if t.expires.IsZero() {
		return tokenLook, nil
	}
	now := time.Now()
	if now.After(t.expires) {
		return 0, fmt.Errorf("it expired at %s: make a new one, as docs/slurm.md tells", t.expires.Format(time.RFC3339))
	}
	if wait := t.due().Sub(now); wait > 0 {
		return min(wait, tokenLook), nil
	}
	return tokenRetry, r.renew(ctx, t) // by a clock that is ahead the new one may be due as well
}

// renew asks for a token like the one there is and puts it in its place.
func (r *renewer) renew(ctx context.Context, t token) error {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	seconds := int64(t.expires.Sub(t.issued) / time.Second)
	answer, err := r.accounts.ServiceAccounts(t.namespace).CreateToken(ctx, t.account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: t.audiences, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for one of ServiceAccount %s/%s: %w", t.namespace, t.account, err)
	}
	if err := replaceFile(r.file, []byte(answer.Status.Token)); err != nil {
		return err
	}
	r.log.Info("the token of the bridge was renewed", "expires", answer.Status.ExpirationTimestamp.Time)
	return nil
}

// replaceFile writes a file, for this user alone, so that readers find the old content or the new. A link stays one.
func replaceFile(path string, data []byte) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
