package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
)

const (
	servedTimeout = 15 * time.Second
	storePrefix   = "/registry"
	crdPrefix     = storePrefix + "/" + apiextensionsv1.GroupName + "/customresourcedefinitions/"
)

// crdCodec writes what lies in the store.
var crdCodec = apiserver.Codecs.LegacyCodec(apiextensionsv1.SchemeGroupVersion)

// seedCRDs writes CRDs to a store that no server reads yet, as they stand there once they are established. Handed to a server
// they would take five times as long: it lets its controllers agree on them, and it delays the creation of objects by 2 s
// while a CRD is new, for the sake of other servers that may not know it yet. There are none.
func seedCRDs(ctx context.Context, s *store, crds []*apiextensionsv1.CustomResourceDefinition) error {
	for _, crd := range crds {
		value, err := runtime.Encode(crdCodec, established(crd))
		if err != nil {
			return fmt.Errorf("CRD %s: %w", crd.Name, err)
		}
		if err := s.put(ctx, crdPrefix+crd.Name, value); err != nil {
			return fmt.Errorf("CRD %s: %w", crd.Name, err)
		}
	}
	return nil
}

// established is a CRD with what a server adds to one, by now and for an hour.
func established(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinition {
	crd = crd.DeepCopy()
	apiserver.Scheme.Default(crd)
	crd.UID, crd.Generation, crd.CreationTimestamp = uuid.NewUUID(), 1, metav1.Now()
	crd.Status = apiextensionsv1.CustomResourceDefinitionStatus{AcceptedNames: crd.Spec.Names}
	for _, v := range crd.Spec.Versions {
		if v.Storage {
			crd.Status.StoredVersions = []string{v.Name}
		}
	}
	for _, is := range []apiextensionsv1.CustomResourceDefinitionConditionType{apiextensionsv1.NamesAccepted, apiextensionsv1.Established} {
		crd.Status.Conditions = append(crd.Status.Conditions, apiextensionsv1.CustomResourceDefinitionCondition{
			Type: is, Status: apiextensionsv1.ConditionTrue, Reason: "Seeded", LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Hour)),
		})
	}
	return crd
}

// waitAllServed waits until the resources of CRDs are served and discovered: both lag the start, and a client that is quicker
// sees 404.
func waitAllServed(ctx context.Context, config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) error {
	clients, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, servedTimeout)
	defer cancel()
	errs := make([]error, len(crds))
	var each sync.WaitGroup
	for i, crd := range crds {
		each.Go(func() {
			if err := waitServed(ctx, clients.Discovery().RESTClient(), crd); err != nil {
				errs[i] = fmt.Errorf("CRD %s is not served: %w", crd.Name, err)
			}
		})
	}
	each.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return waitFor(ctx, func() error {
		return clients.Discovery().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).Error()
	})
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
