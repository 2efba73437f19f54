package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// printTable prints what `kubectl get` prints of a resource: the API server itself makes the table.
func printTable(ctx context.Context, config *rest.Config, resource string, out io.Writer) error {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, v1alpha1.GroupVersion)
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		return err
	}
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		return err
	}
	table := &metav1.Table{}
	err = c.Get().Resource(resource).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(ctx).Into(table)
	if err != nil {
		return fmt.Errorf("listing the %s: %w", resource, err)
	}
	return writeTable(out, table)
}

// writeTable writes the columns of a table that are not for wide output only.
func writeTable(out io.Writer, table *metav1.Table) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	line := func(cell func(i int) string) {
		var cells []string
		for i, c := range table.ColumnDefinitions {
			if c.Priority == 0 {
				cells = append(cells, cell(i))
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	line(func(i int) string { return strings.ToUpper(table.ColumnDefinitions[i].Name) })
	for _, row := range table.Rows {
		line(func(i int) string {
			if row.Cells[i] == nil { // kubectl leaves it empty as well
				return ""
			}
			return fmt.Sprint(row.Cells[i])
		})
	}
	return w.Flush()
}
