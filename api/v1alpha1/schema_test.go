package v1alpha1_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/config/crd"
)

// kinds are all that the group has, with the least document of each.
var kinds = map[string]string{"Task": minimalTask, "Pipeline": minimalPipeline}

// admission does to an object what an API server does with the generated definition, by the API server's own code.
type admission struct {
	kind       string
	definition *apiextensions.CustomResourceDefinition
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func newAdmission(kind string) (*admission, error) {
	crds, err := crd.All()
	if err != nil {
		return nil, err
	}
	if len(crds) != len(kinds) {
		return nil, fmt.Errorf("%d definitions, expected those of %d kinds", len(crds), len(kinds))
	}
	i := slices.IndexFunc(crds, func(c *apiextensionsv1.CustomResourceDefinition) bool { return c.Spec.Names.Kind == kind })
	if i < 0 {
		return nil, fmt.Errorf("no definition of %s", kind)
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	v1crd := crds[i].DeepCopy()
	apiextensionsv1.SetDefaults_CustomResourceDefinition(v1crd)
	a := &admission{kind: kind, definition: new(apiextensions.CustomResourceDefinition)}
	if err := scheme.Convert(v1crd, a.definition, nil); err != nil {
		return nil, fmt.Errorf("converting the definition: %w", err)
	}
	props := a.definition.Spec.Validation.OpenAPIV3Schema
	if a.structural, err = schema.NewStructural(props); err != nil {
		return nil, fmt.Errorf("making the structural schema: %w", err)
	}
	if a.schema, _, err = validation.NewSchemaValidator(props); err != nil {
		return nil, fmt.Errorf("making the validator: %w", err)
	}
	a.rules = cel.NewValidator(a.structural, true, celconfig.PerCallLimit)
	return a, nil
}

func mustAdmission(tb testing.TB, kind string) *admission {
	tb.Helper()
	a, err := newAdmission(kind)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// eachKind runs a test for every kind of the group.
func eachKind(t *testing.T, test func(t *testing.T, a *admission)) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(kind, func(t *testing.T) { test(t, mustAdmission(t, kind)) })
	}
}

// admit defaults and prunes obj in place and validates it as a new object, or as the successor of old.
func (a *admission) admit(obj, old map[string]any) field.ErrorList {
	defaulting.Default(obj, a.structural)
	pruning.Prune(obj, a.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, a.structural)

	errs := validation.ValidateCustomResource(nil, obj, a.schema)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, a.structural, obj)...)
	if len(errs) > 0 {
		return errs
	}
	var oldObj any
	if old != nil {
		oldObj = old
	}
	errs, _ = a.rules.Validate(context.Background(), nil, a.structural, obj, oldObj, celconfig.RuntimeCELCostBudget)
	return errs
}

// decode makes the object of a manifest, in the types in which an API server holds it.
func decode(tb testing.TB, manifest string) map[string]any {
	tb.Helper()
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		tb.Fatalf("decoding %q: %v", manifest, err)
	}
	var obj map[string]any
	if err := utiljson.Unmarshal(data, &obj); err != nil {
		tb.Fatalf("decoding %q: %v", manifest, err)
	}
	return obj
}

func TestDefinitionIsValid(t *testing.T) {
	eachKind(t, func(t *testing.T, a *admission) {
		a.definition.Status.StoredVersions = []string{"v1alpha1"}
		for _, err := range crdvalidation.ValidateCustomResourceDefinition(t.Context(), a.definition) {
			t.Error(err)
		}
	})
}

// The five minor releases that are supported differ in the functions that rules may call.
func TestRulesCompileOnTheOldestSupportedKubernetes(t *testing.T) {
	eachKind(t, testRulesCompile)
}

func testRulesCompile(t *testing.T, a *admission) {
	oldest := environment.MustBaseEnvSet(version.MajorMinor(1, 33))
	rules := 0
	compile := func(path string, s *schema.Structural) {
		declType := model.SchemaDeclType(s, path == "")
		results, err := cel.Compile(s, declType, celconfig.PerCallLimit, oldest, cel.NewExpressionsEnvLoader())
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for i, result := range results {
			rules++
			if result.Error != nil {
				t.Errorf("%s: %s: %v", path, s.XValidations[i].Rule, result.Error)
			}
		}
	}
	compile("", a.structural)
	a.walk(compile)
	if rules < 20 {
		t.Errorf("only %d rules were compiled", rules)
	}
}

func TestEverythingIsBounded(t *testing.T) {
	exempt := map[string]string{
		"spec.params[*]":         "DecodeParams bounds these",
		"spec.tasks[].params[*]": "DecodeParams bounds these",
		"status.conditions[]":    "the schema of metav1.Condition, which markers here cannot change",
	}
	eachKind(t, func(t *testing.T, a *admission) {
		a.walk(func(path string, s *schema.Structural) {
			parent := path[:max(strings.LastIndex(path, "."), 0)]
			if exempt[path] == "" && exempt[parent] == "" && !bounded(s) {
				t.Errorf("%s has no maximum", path)
			}
		})
	})
}

func bounded(s *schema.Structural) bool {
	v := s.ValueValidation
	if v == nil {
		v = &schema.ValueValidation{}
	}
	switch {
	case s.Type == "boolean", s.Type == "object" && s.AdditionalProperties == nil:
		return true
	case s.Type == "object":
		return v.MaxProperties != nil
	case s.Type == "array":
		return v.MaxItems != nil
	case s.Type == "integer":
		return v.Minimum != nil && v.Maximum != nil
	case s.Type == "string", s.XIntOrString:
		return v.MaxLength != nil || len(v.Enum) > 0 || v.Format == "date-time"
	default:
		return false
	}
}

func TestEveryFieldIsDocumented(t *testing.T) {
	eachKind(t, func(t *testing.T, a *admission) {
		a.walk(func(path string, s *schema.Structural) {
			if s.Description == "" && !strings.HasSuffix(path, "]") {
				t.Errorf("%s has no description", path)
			}
		})
	})
}

// walk visits the schemas of all fields and items of spec and status.
func (a *admission) walk(visit func(path string, s *schema.Structural)) {
	for _, part := range []string{"spec", "status"} {
		s := a.structural.Properties[part]
		walk(part, &s, visit)
	}
}

func walk(path string, s *schema.Structural, visit func(path string, s *schema.Structural)) {
	visit(path, s)
	for name, property := range s.Properties {
		walk(path+"."+name, &property, visit)
	}
	if s.Items != nil {
		walk(path+"[]", s.Items, visit)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		walk(path+"[*]", s.AdditionalProperties.Structural, visit)
	}
}
