package task

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/pipeline"
	"tigerflow.dev/tigerflow/spool"
)

// spoolSpec says in the spool's terms what a Task asks for. Its revision changes with whatever makes running workers out
// of date, and with nothing else.
func spoolSpec(t *v1alpha1.Task) (spool.Spec, error) {
	s := &t.Spec
	spec := spool.Spec{
		Task:          t.DisplayName(),
		Type:          string(s.Type),
		WorkDir:       spool.Name(s.Workspace.Path),
		InputDir:      within(s, s.Input.Directory),
		InputExt:      s.Input.Extension,
		Recursive:     s.Input.Recursive != nil && *s.Input.Recursive,
		OutputDir:     within(s, s.Output.Directory),
		OutputExt:     s.Output.Extension,
		Handler:       handlerOf(s),
		SetupCommands: setupOf(s),
		Concurrency:   int(s.FilesInHand()),
		Durability:    spool.Durability(cmp.Or(s.Durability, v1alpha1.DurabilityFsync)),
		Timeout:       spool.Duration(s.FileTimeout()),
		Retry: spool.Retry{
			Attempts: int(s.Attempts()), Backoff: spool.Duration(s.Backoff()), CrashLimit: int(s.CrashLimit()),
		},
	}
	if p := s.Pipeline; p != nil {
		spec.Parent = p.Parent
	}
	if n := s.HandlerProcesses(); n > 1 {
		spec.Processes = int(n)
	}
	if r := s.RateLimit; r != nil {
		spec.RateLimit = &spool.RateLimit{
			Requests: int(r.Requests), Per: spool.Duration(r.Per.Duration), Workers: int(s.WorkersWithinLimit()),
		}
	}
	spec.Breaker = spool.Breaker{First: int(s.BreakerFirst()), InARow: int(s.BreakerInARow())}
	params, err := paramsOf(s)
	if err != nil {
		return spec, err
	}
	spec.Params = params
	if c := s.Container; c != nil {
		spec.Entrypoint = c.Entrypoint
		for _, e := range c.Env {
			spec.Env = append(spec.Env, spool.EnvVar{Name: e.Name, Value: e.Value})
		}
		if c.EnvFile != "" {
			spec.EnvFile = within(s, c.EnvFile)
		}
	}
	revision, err := revisionOf(spec, s)
	spec.Revision = revision
	return spec, err
}

// paramsOf is the params as handlers get them. The schema cannot check them: it leaves their values open.
func paramsOf(s *v1alpha1.TaskSpec) (map[string]json.RawMessage, error) {
	decoded, err := s.DecodeParams()
	if err != nil {
		return nil, stalled(v1alpha1.ReasonInvalidParams, "%s", err)
	}
	if len(decoded) == 0 {
		return nil, nil
	}
	params := make(map[string]json.RawMessage, len(decoded))
	for name, value := range decoded {
		if params[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return params, nil
}

// pipelineOf says in the terms of a flow how a Task hangs together with others; nil if it does not.
func pipelineOf(s *v1alpha1.TaskSpec) *flow.Pipeline {
	p := s.Pipeline
	if p == nil {
		return nil
	}
	records := recordsOf(s)
	dirs := func(tasks ...string) (dirs []string) {
		for _, task := range tasks {
			dirs = append(dirs, spool.Dir(records, task))
		}
		return dirs
	}
	chain := dispatcher.Chain{
		Children: dirs(p.Children...), Siblings: dirs(p.Siblings...),
		MaxIntermediates: p.MaxIntermediates,
		DeleteOutputs:    p.OutputPolicy == v1alpha1.RetentionDelete, DeleteInputs: p.InputPolicy == v1alpha1.RetentionDelete,
	}
	if p.Parent != "" {
		chain.Parent = spool.Dir(records, p.Parent)
	}
	if p.StagedBy != "" {
		chain.StagedBy = spool.Dir(records, p.StagedBy)
	}
	of := &flow.Pipeline{Records: records, RootExt: p.InputExtension, Chain: chain}
	if p.Lead != nil {
		of.Chain.Lead = &dispatcher.Lead{}
		for _, m := range p.Lead.Tasks {
			of.Chain.Lead.Tasks = append(of.Chain.Lead.Tasks, dispatcher.Member{Name: m.Name, Dir: spool.Dir(records, m.Name), Parent: m.Parent})
		}
		of.Staging = pipeline.Steps(p.Lead.Staging)
	}
	return of
}

func handlerOf(s *v1alpha1.TaskSpec) spool.Handler {
	h := spool.Handler{Builtin: s.Handler.Builtin, Command: s.Handler.Command}
	if p := s.Handler.Python; p != nil {
		interpreter := p.PythonInterpreter()
		if strings.Contains(interpreter, "/") {
			interpreter = string(within(s, interpreter))
		}
		h.Python = &spool.PythonHandler{Module: p.Module, Interpreter: interpreter}
	}
	if p := s.Handler.Program; p != nil {
		path := spool.Name(p.Path)
		if strings.Contains(p.Path, "/") {
			path = within(s, p.Path)
		}
		h.Program = &spool.ProgramHandler{Path: path, Args: p.Args}
	}
	return h
}

// revisionOf hashes what a running worker has read or was given once and for all.
func revisionOf(spec spool.Spec, s *v1alpha1.TaskSpec) (string, error) {
	spec.Retry, spec.Breaker = spool.Retry{}, spool.Breaker{} // the dispatcher's alone
	text, err := json.Marshal(struct {
		Spec      spool.Spec
		Image     *v1alpha1.Container
		Resources *v1alpha1.Resources
		OnHost    []string      `json:",omitempty"`
		Pod       *v1alpha1.Pod `json:",omitempty"`
	}{spec, s.Container, s.Resources, containerOf(s).SetupCommands, s.Pod})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6]), nil
}
