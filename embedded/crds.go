package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
)

const servedTimeout = 15 * time.Second

// installCRDs creates the CRDs, in a store that is always new, and waits until their resources are served and
// discovered: both lag the creation, and a client that is quicker sees 404.
func installCRDs(ctx context.Context, config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) error {
	clients, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		_, err := clients.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, crd, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("creating CRD %s: %w", crd.Name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, servedTimeout)
	defer cancel()
	for _, crd := range crds {
		if err := waitFor(ctx, func() error { return ageEstablished(ctx, clients, crd.Name) }); err != nil {
			return fmt.Errorf("CRD %s is not established: %w", crd.Name, err)
		}
	}
	for _, crd := range crds {
		if err := waitServed(ctx, clients.Discovery().RESTClient(), crd); err != nil {
			return fmt.Errorf("CRD %s is not served: %w", crd.Name, err)
		}
	}
	return waitFor(ctx, func() error {
		return clients.Discovery().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).Error()
	})
}

// ageEstablished makes an established CRD look established for long: the server delays the creation of objects by
// 2 s while it is not, for the sake of other servers that may not know the CRD yet. There are none.
func ageEstablished(ctx context.Context, clients clientset.Interface, name string) error {
	crds := clients.ApiextensionsV1().CustomResourceDefinitions()
	crd, err := crds.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	established := apihelpers.FindCRDCondition(crd, apiextensionsv1.Established)
	if established == nil || established.Status != apiextensionsv1.ConditionTrue {
		return fmt.Errorf("its conditions are %v", crd.Status.Conditions)
	}
	established.LastTransitionTime = metav1.NewTime(time.Now().Add(-time.Hour))
	_, err = crds.UpdateStatus(ctx, crd, metav1.UpdateOptions{})
	return err
}

func waitServed(ctx context.Context, client rest.Interface, crd *apiextensionsv1.CustomResourceDefinition) error {
	for _, v := range crd.Spec.Versions {
		if !v.Served {
			continue
		}
		path := "/apis/" + crd.Spec.Group + "/" + v.Name
		err := waitFor(ctx, func() error {
			if err := discovered(ctx, client, path, crd.Spec.Names.Plural); err != nil {
				return err
			}
			return watchable(ctx, client, path+"/"+crd.Spec.Names.Plural)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func discovered(ctx context.Context, client rest.Interface, path, plural string) error {
	raw, err := client.Get().AbsPath(path).MaxRetries(0).DoRaw(ctx)
	if err != nil {
		return err
	}
	var found metav1.APIResourceList
	if err := json.Unmarshal(raw, &found); err != nil {
		return err
	}
	for _, r := range found.APIResources {
		if r.Name == plural {
			return nil
		}
	}
	return fmt.Errorf("%s does not list %s", path, plural)
}

// watchable asks for what is ready last: a list would be answered from the store while the cache is being filled.
func watchable(ctx context.Context, client rest.Interface, path string) error {
	stream, err := client.Get().AbsPath(path).Param("watch", "1").MaxRetries(0).Stream(ctx)
	if err != nil {
		return err
	}
	return stream.Close()
}

// waitDescribed waits until both versions of OpenAPI tell of the CRDs.
func waitDescribed(ctx context.Context, config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) error {
	clients, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, servedTimeout)
	defer cancel()
	for _, crd := range crds {
		for _, v := range crd.Spec.Versions {
			if !v.Served {
				continue
			}
			path := "/apis/" + crd.Spec.Group + "/" + v.Name
			for _, doc := range []string{"/openapi/v3" + path, "/openapi/v2"} {
				err := waitFor(ctx, func() error { return described(ctx, clients.Discovery().RESTClient(), doc, path, crd) })
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func described(ctx context.Context, client rest.Interface, doc, path string, crd *apiextensionsv1.CustomResourceDefinition) error {
	raw, err := client.Get().AbsPath(doc).MaxRetries(0).DoRaw(ctx)
	if err != nil {
		return err
	}
	if crd.Spec.Scope == apiextensionsv1.NamespaceScoped {
		path += "/namespaces/{namespace}"
	}
	path += "/" + crd.Spec.Names.Plural
	if !bytes.Contains(raw, []byte(`"`+path+`"`)) {
		return fmt.Errorf("%s does not describe %s", doc, path)
	}
	return nil
}

// waitFor repeats try until it succeeds, and returns its last error when ctx ends first.
func waitFor(ctx context.Context, try func() error) error {
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-retry.C:
		}
	}
}

// groups are the API groups of crds, with the versions that are served, the preferred first.
func groups(crds []*apiextensionsv1.CustomResourceDefinition) []metav1.APIGroup {
	var groups []metav1.APIGroup
	for _, crd := range crds {
		i := slices.IndexFunc(groups, func(g metav1.APIGroup) bool { return g.Name == crd.Spec.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, metav1.APIGroup{Name: crd.Spec.Group})
		}
		g := &groups[i]
		for _, v := range crd.Spec.Versions {
			gv := metav1.GroupVersionForDiscovery{GroupVersion: crd.Spec.Group + "/" + v.Name, Version: v.Name}
			if v.Served && !slices.Contains(g.Versions, gv) {
				g.Versions = append(g.Versions, gv)
			}
		}
		slices.SortFunc(g.Versions, func(a, b metav1.GroupVersionForDiscovery) int {
			return version.CompareKubeAwareVersionStrings(b.Version, a.Version)
		})
		if len(g.Versions) > 0 {
			g.PreferredVersion = g.Versions[0]
		}
	}
	return groups
}
