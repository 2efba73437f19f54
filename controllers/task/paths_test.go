package task

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// texts calls fn with each text of a value, by the names of the fields that lead there, and makes what is not there yet.
func texts(v reflect.Value, at string, fn func(at string, text reflect.Value)) {
	switch v.Kind() {
	case reflect.String:
		fn(at, v)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		texts(v.Elem(), at, fn)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 && v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		for i := range v.Len() {
			texts(v.Index(i), at+"["+string(rune('0'+i))+"]", fn)
		}
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[v1alpha1.TaskSpec]().PkgPath() { // a duration, a quantity
			return
		}
		for i := range v.NumField() {
			name := at
			if f := v.Type().Field(i); !f.Anonymous {
				name = strings.TrimPrefix(at+"."+f.Name, ".")
			}
			texts(v.Field(i), name, fn)
		}
	}
}

// Every text of a spec is either a path that is mapped or one that stays as it is. Whoever adds one has to say here which.
func TestMapPathsKnowsEveryField(t *testing.T) {
	spec := &v1alpha1.TaskSpec{}
	all := reflect.ValueOf(spec).Elem()
	texts(all, "", func(_ string, text reflect.Value) { text.SetString("/there/x") })
	MapPaths(spec, func(path string) string { return strings.Replace(path, "/there", "/here", 1) })
	var mapped, stay []string
	texts(all, "", func(at string, text reflect.Value) {
		if text.String() == "/here/x" {
			mapped = append(mapped, at)
			return
		}
		if text.String() != "/there/x" {
			t.Errorf("%s has become %q", at, text.String())
		}
		stay = append(stay, at)
	})
	if want := []string{
		"Handler.Python.Module", "Handler.Python.Interpreter", "Handler.Program.Path", "Handler.Command[0]", "Container.Image",
		"Container.EnvFile", "Workspace.Path", "Input.Directory", "Output.Directory", "Pipeline.Directory",
	}; !slices.Equal(mapped, want) {
		t.Errorf("mapped are %q,\nwant %q", mapped, want)
	}
	others := []string{
		"Type", "TaskName", "Durability", "Input.Extension", "Output.Extension", "Slurm.", "Pod.",
		"Pipeline.InputExtension", "Pipeline.Parent", "Pipeline.Children[", "Pipeline.Siblings[", "Pipeline.InputPolicy", "Pipeline.OutputPolicy",
		"Pipeline.Lead.", "Pipeline.StagedBy", // the names of tasks, and steps, whose functions are modules that are installed
		"SetupCommands[", "Handler.Builtin", "Handler.Program.Args[", "Handler.Command[1]", "Container.SetupCommands[", "Container.Entrypoint[", "Container.Env[",
		"Container.WorkerPath", "Container.Mounts[", "Workspace.Volume.", // of pods
	}
	for _, at := range stay {
		if !slices.ContainsFunc(others, func(known string) bool {
			return at == known || strings.ContainsAny(known[len(known)-1:], ".[") && strings.HasPrefix(at, known)
		}) {
			t.Errorf("is %s a path?", at)
		}
	}
}

func TestMapPaths(t *testing.T) {
	local := func(path string) string {
		if rest, ok := strings.CutPrefix(path, "/w/models/"); ok {
			return "/models/" + rest
		}
		return strings.Replace(path, "/w/", "/data/", 1)
	}
	set := func(edit func(*v1alpha1.TaskSpec)) *v1alpha1.TaskSpec {
		s := &v1alpha1.TaskSpec{Workspace: v1alpha1.Workspace{Path: "/w/me"}}
		s.Input.Directory, s.Output.Directory = "in", "/w/me/./out/"
		edit(s)
		return s
	}
	module := func(name string) *v1alpha1.TaskSpec {
		return set(func(s *v1alpha1.TaskSpec) {
			s.Handler.Python = &v1alpha1.PythonHandler{Module: name, Interpreter: "python3"}
		})
	}
	image := func(name string) *v1alpha1.TaskSpec {
		return set(func(s *v1alpha1.TaskSpec) { s.Container = &v1alpha1.Container{Image: name} })
	}
	for _, tt := range []struct {
		spec *v1alpha1.TaskSpec
		got  func(*v1alpha1.TaskSpec) string
		want string
	}{
		{module("x"), func(s *v1alpha1.TaskSpec) string { return s.Workspace.Path }, "/data/me"},
		{module("x"), func(s *v1alpha1.TaskSpec) string { return s.Input.Directory }, "/data/me/in"},
		{module("x"), func(s *v1alpha1.TaskSpec) string { return s.Output.Directory }, "/data/me/out"},
		{module("x"), func(s *v1alpha1.TaskSpec) string { return s.Handler.Python.Interpreter }, "python3"},
		{module("a.b:T"), func(s *v1alpha1.TaskSpec) string { return s.Handler.Python.Module }, "a.b:T"},
		{module("a.py"), func(s *v1alpha1.TaskSpec) string { return s.Handler.Python.Module }, "/data/me/a.py"},
		{module("../models/a.py:T"), func(s *v1alpha1.TaskSpec) string { return s.Handler.Python.Module }, "/models/a.py:T"},
		{module("/w/me/pack/mod:T"), func(s *v1alpha1.TaskSpec) string { return s.Handler.Python.Module }, "/data/me/pack/mod:T"},
		{module("/opt/a.py"), func(s *v1alpha1.TaskSpec) string { return s.Handler.Python.Module }, "/opt/a.py"},
		{image("x.sif"), func(s *v1alpha1.TaskSpec) string { return s.Container.Image }, "/data/me/x.sif"},
		{image("docker-archive:/w/models/x.tar"), func(s *v1alpha1.TaskSpec) string { return s.Container.Image }, "docker-archive:/models/x.tar"},
		{image("oci:layout:tag"), func(s *v1alpha1.TaskSpec) string { return s.Container.Image }, "oci:/data/me/layout:tag"},
		{image("docker://w/me"), func(s *v1alpha1.TaskSpec) string { return s.Container.Image }, "docker://w/me"},
		{set(func(s *v1alpha1.TaskSpec) { s.Handler.Command = []string{"cp", "/w/me/a"} }), func(s *v1alpha1.TaskSpec) string { return strings.Join(s.Handler.Command, " ") }, "cp /w/me/a"},
		{set(func(s *v1alpha1.TaskSpec) { s.Handler.Command = []string{"bin/cp", "a"} }), func(s *v1alpha1.TaskSpec) string { return strings.Join(s.Handler.Command, " ") }, "bin/cp a"},
		{set(func(s *v1alpha1.TaskSpec) { s.Handler.Program = &v1alpha1.ProgramHandler{Path: "resize"} }), func(s *v1alpha1.TaskSpec) string { return s.Handler.Program.Path }, "resize"},
	} {
		MapPaths(tt.spec, local)
		if got := tt.got(tt.spec); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
