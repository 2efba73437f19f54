package wiretest

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/yaml"
)

// Rules are those of a program, and note which of them it needs.
type Rules struct {
	path  string
	rules []rbacv1.PolicyRule

	mu   sync.Mutex
	used sets.Set[string]
}

// Load reads the rules of the first Role or ClusterRole in a file.
func Load(path string) (*Rules, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(part), &role); err != nil {
			return nil, err
		}
		if role.Kind == "Role" || role.Kind == "ClusterRole" {
			return &Rules{path: path, rules: role.Rules, used: sets.New[string]()}, nil
		}
	}
	return nil, fmt.Errorf("%s has no Role", path)
}

var requests = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// allow reports whether the rules allow a request, as the API server's RBAC does, which the embedded one lacks. Who the server is
// and what it serves may be asked by anybody. Without any rules all is allowed.
func (r *Rules) allow(t *testing.T, asked *http.Request) bool {
	t.Helper()
	if r == nil {
		return true
	}
	info, err := requests.NewRequestInfo(asked)
	if err != nil {
		t.Error(err)
		return false
	}
	resource := info.Resource
	if info.Subresource != "" {
		resource += "/" + info.Subresource
	}
	allowed := !info.IsResourceRequest
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, rule := range r.rules {
		if slices.Contains(rule.Verbs, info.Verb) && slices.Contains(rule.APIGroups, info.APIGroup) && slices.Contains(rule.Resources, resource) &&
			(rule.ResourceNames == nil || slices.Contains(rule.ResourceNames, info.Name)) {
			r.used.Insert(use(i, info.Verb, resource))
			allowed = true
		}
	}
	return allowed
}

func use(rule int, verb, resource string) string {
	return fmt.Sprintf("rule %d: %s %s", rule, verb, resource)
}

// Unused is an error for each verb on each resource that no test has needed. It is nil if not all tests of a package were run.
func (r *Rules) Unused() error {
	if flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for i, rule := range r.rules {
		for _, verb := range rule.Verbs {
			for _, resource := range rule.Resources {
				used := r.used.Has(use(i, verb, resource))
				if verb == "list" { // clients do where a server cannot stream a list: before Kubernetes 1.34
					used = used || r.used.Has(use(i, "watch", resource))
				}
				if !used {
					errs = append(errs, fmt.Errorf("%s: no test has used %s", r.path, use(i, verb, resource)))
				}
			}
		}
	}
	return errors.Join(errs...)
}
