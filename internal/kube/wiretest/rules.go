package wiretest

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/yaml"
)

// Rules are those of the first Role or ClusterRole in a file.
func Rules(path string) ([]rbacv1.PolicyRule, error) {
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
			return role.Rules, nil
		}
	}
	return nil, fmt.Errorf("%s has no Role", path)
}

var requests = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// allowed reports whether rules allow a request, as the API server's RBAC does, which the embedded one lacks. Who the server is
// and what it serves may be asked by anybody. Without any rules all is allowed.
func allowed(t *testing.T, rules []rbacv1.PolicyRule, r *http.Request) bool {
	t.Helper()
	info, err := requests.NewRequestInfo(r)
	if err != nil {
		t.Error(err)
		return false
	}
	resource := info.Resource
	if info.Subresource != "" {
		resource += "/" + info.Subresource
	}
	return rules == nil || !info.IsResourceRequest || slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.Verbs, info.Verb) && slices.Contains(rule.APIGroups, info.APIGroup) && slices.Contains(rule.Resources, resource) &&
			(rule.ResourceNames == nil || slices.Contains(rule.ResourceNames, info.Name))
	})
}
