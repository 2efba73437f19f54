package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/yaml"
)

// used is what the managers of the tests have asked of the API server, which refuses what config/rbac/manager.yaml does not
// allow them.
var used = struct {
	mu    sync.Mutex
	verbs sets.Set[string]
}{verbs: sets.New[string]()}

var requests = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// recorder notes what is asked.
type recorder struct{ next http.RoundTripper }

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := r.next.RoundTrip(req)
	info, bad := requests.NewRequestInfo(req)
	if err == nil && bad == nil && info.IsResourceRequest && answer.StatusCode < 400 {
		resource := info.Resource
		if info.Subresource != "" {
			resource += "/" + info.Subresource
		}
		use(verbOn(info.Verb, info.APIGroup, resource))
	}
	return answer, err
}

func use(verbs ...string) {
	used.mu.Lock()
	defer used.mu.Unlock()
	used.verbs.Insert(verbs...)
}

func verbOn(verb, group, resource string) string {
	return fmt.Sprintf("%s %s/%s", verb, group, resource)
}

// unusedRules fails if the manager is allowed what no test shows that it needs.
func unusedRules() error {
	if run := flag.Lookup("test.run"); run.Value.String() != "" {
		return nil // not all were run
	}
	text, err := os.ReadFile("../../config/rbac/manager.yaml")
	if err != nil {
		return err
	}
	// What the server asks about on its behalf: when it makes Tasks by server-side apply and with an owner, and RoleBindings.
	used.verbs.Insert("create tigerflow.dev/tasks", "update tigerflow.dev/pipelines/finalizers", "bind rbac.authorization.k8s.io/clusterroles")
	for on := range used.verbs { // clients list where a server cannot stream a list
		if of, ok := strings.CutPrefix(on, "watch "); ok {
			used.verbs.Insert("list " + of)
		}
	}
	var errs []error
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(part), &role); err != nil {
			return err
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				for _, resource := range rule.Resources {
					if on := verbOn(verb, rule.APIGroups[0], resource); !used.verbs.Has(on) {
						errs = append(errs, fmt.Errorf("config/rbac/manager.yaml allows %s, and nothing has used it", on))
					}
				}
			}
		}
	}
	return errors.Join(errs...)
}
