package kubernetes

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// account is a ServiceAccount.
type account struct{ namespace, name string }

// right is a verb on a resource, of one name if the rule that gives it says so.
type right struct{ verb, group, resource, name string }

// testRights compares what each account is allowed with what it has asked the API server for in all tests before.
func testRights(t *testing.T, l lab) {
	if flag.Lookup("test.run").Value.String() != "" {
		t.Skip("not all tests were run")
	}
	events := l.audit(t)
	used := usesOf(events)
	one, _ := namespaceOf("TestCluster/Namespaced")
	for _, manifest := range []string{l.template(t, system), l.template(t, own, "namespace="+one)} {
		for name, o := range objects(t, manifest) {
			role := &rbacv1.ClusterRole{}
			if o.GetKind() != "Role" && o.GetKind() != "ClusterRole" {
				continue
			}
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, role))
			for _, r := range rightsOf(role.Rules) {
				if !used[holderOf(role.Name)].Has(r) {
					t.Errorf("%s: nobody has used %+v", name, r)
				}
			}
		}
	}
	for _, e := range events {
		a, ours := accountOf(e)
		if !ours || a.name == author || e.Annotations["authorization.k8s.io/decision"] != "forbid" {
			continue
		}
		if at := e.StageTimestamp.Time; !revoked(events, a, at) && (at.Before(serverWent) || at.After(serverCame.Add(settling))) {
			t.Errorf("%s: %+v has no right to %s %+v", at, a, e.Verb, e.ObjectRef)
		}
	}
}

// holderOf is the account that has a role.
func holderOf(role string) string {
	switch role {
	case "tigerflow-author":
		return author
	case "tigerflow-manager-tasks", "tigerflow-metrics-reader": // whoever reads metrics asks the manager, and that asks for them
		return "tigerflow-manager"
	}
	return role
}

// audit reads the API server's log, in which hack/kubernetes/conf/audit.yaml says what is.
func (l lab) audit(t *testing.T) (events []*auditv1.Event) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.dir, "log", "audit*.log"))
	must(t, err)
	for _, file := range files {
		f, err := os.Open(file)
		must(t, err)
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			e := &auditv1.Event{}
			if json.Unmarshal(lines.Bytes(), e) == nil { // a line that a kill has cut tells nothing
				events = append(events, e)
			}
		}
		must(t, lines.Err())
		must(t, f.Close())
	}
	return events
}

// accountOf is who asked, if that is an account of this project.
func accountOf(e *auditv1.Event) (account, bool) {
	namespace, name, ok := strings.Cut(strings.TrimPrefix(e.User.Username, "system:serviceaccount:"), ":")
	return account{namespace, name}, ok && (name == author || strings.HasPrefix(name, "tigerflow-"))
}

// usesOf is what accounts of each name have asked for with success.
func usesOf(events []*auditv1.Event) map[string]sets.Set[right] {
	uses := map[string]sets.Set[right]{}
	for _, e := range events {
		a, ours := accountOf(e)
		if !ours || e.ObjectRef == nil || e.ResponseStatus == nil || e.ResponseStatus.Code >= 400 {
			continue
		}
		if uses[a.name] == nil {
			uses[a.name] = sets.New[right]()
		}
		r := right{e.Verb, e.ObjectRef.APIGroup, e.ObjectRef.Resource, e.ObjectRef.Name}
		if e.ObjectRef.Subresource != "" {
			r.resource += "/" + e.ObjectRef.Subresource
		}
		for _, r := range append(implied(r, e.ResponseStatus.Code), r) {
			uses[a.name].Insert(r, right{r.verb, r.group, r.resource, ""})
		}
	}
	return uses
}

// implied is what the API server, or who serves in its place, asks about before it does what was asked for.
func implied(r right, code int32) []right {
	switch {
	case r.verb == "watch": // clients list where a server cannot stream a list: before Kubernetes 1.34
		return []right{{"list", r.group, r.resource, r.name}}
	case r.verb == "patch" && r.resource == "tasks" && code == 201: // server-side apply; with an owner whose deletion it may block
		return []right{{"create", r.group, r.resource, ""}, {"update", r.group, "pipelines/finalizers", ""}}
	case r.verb == "create" && r.resource == "rolebindings":
		return []right{{"bind", r.group, "clusterroles", "tigerflow-dispatcher"}}
	case r.verb == "create" && r.resource == "subjectaccessreviews": // the manager, before it answers
		return []right{{"get", "", "/metrics", ""}}
	}
	return nil
}

// rightsOf takes rules apart.
func rightsOf(rules []rbacv1.PolicyRule) (rights []right) {
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, url := range rule.NonResourceURLs {
				rights = append(rights, right{verb, "", url, ""})
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					if rule.ResourceNames == nil {
						rights = append(rights, right{verb, group, resource, ""})
					}
					for _, name := range rule.ResourceNames {
						rights = append(rights, right{verb, group, resource, name})
					}
				}
			}
		}
	}
	return rights
}

// settling is how long the API server may take to know of a new binding, or had known of the end of one before it said so.
const settling = 10 * time.Second

// revoked tells whether an account had its rights taken from it at a time, by the deletion of its binding or of its namespace.
func revoked(events []*auditv1.Event, a account, at time.Time) (gone bool) {
	for _, e := range events {
		o := e.ObjectRef
		if o == nil || !strings.HasSuffix(o.Resource, "rolebindings") || e.ResponseStatus == nil || e.ResponseStatus.Code >= 400 {
			continue
		}
		if o.Namespace != "" && o.Namespace != a.namespace || o.Name != "" && o.Name != a.name {
			continue
		}
		switch taken := strings.HasPrefix(e.Verb, "delete"); {
		case taken && e.StageTimestamp.Time.Before(at.Add(settling)):
			gone = true
		case !taken && e.StageTimestamp.Time.Before(at.Add(-settling)):
			gone = false
		}
	}
	return gone
}
