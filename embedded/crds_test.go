package embedded

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func TestGroups(t *testing.T) {
	crd := func(group string, versions ...apiextensionsv1.CustomResourceDefinitionVersion) *apiextensionsv1.CustomResourceDefinition {
		return &apiextensionsv1.CustomResourceDefinition{
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: group, Versions: versions},
		}
	}
	served := func(name string) apiextensionsv1.CustomResourceDefinitionVersion {
		return apiextensionsv1.CustomResourceDefinitionVersion{Name: name, Served: true}
	}
	got, err := json.Marshal(groups([]*apiextensionsv1.CustomResourceDefinition{
		crd("a.dev", served("v1alpha1"), served("v1")),
		crd("b.dev", served("v1"), apiextensionsv1.CustomResourceDefinitionVersion{Name: "v2"}),
		crd("a.dev", served("v1beta1"), served("v1")),
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"a.dev","versions":[` +
		`{"groupVersion":"a.dev/v1","version":"v1"},` +
		`{"groupVersion":"a.dev/v1beta1","version":"v1beta1"},` +
		`{"groupVersion":"a.dev/v1alpha1","version":"v1alpha1"}],` +
		`"preferredVersion":{"groupVersion":"a.dev/v1","version":"v1"}},` +
		`{"name":"b.dev","versions":[{"groupVersion":"b.dev/v1","version":"v1"}],` +
		`"preferredVersion":{"groupVersion":"b.dev/v1","version":"v1"}}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDiscoveryWithoutAggregation asks as clients other than kubectl and client-go do.
func TestDiscoveryWithoutAggregation(t *testing.T) {
	c := startPlane(t)
	cl, err := rest.HTTPClientFor(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := cl.Get(c.RESTConfig().Host + "/apis")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list metav1.APIGroupList
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, g := range list.Groups {
		if g.Name == errandKind.Group {
			return
		}
	}
	t.Errorf("GET /apis lists %v, want %s among them", list.Groups, errandKind.Group)
}

func TestProtobufIsRefused(t *testing.T) {
	c := startPlane(t)
	cl, err := rest.HTTPClientFor(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := cl.Post(c.RESTConfig().Host+errandsPath, "application/vnd.kubernetes.protobuf", strings.NewReader("k8s\x00"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(string(answer), "JSON or YAML") {
		t.Errorf("a protobuf body is answered by %s: %s", resp.Status, answer)
	}
}
