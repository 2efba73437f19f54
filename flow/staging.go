package flow

import (
	"os"
	"slices"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/staging"
	"tigerflow.dev/tigerflow/staging/caller"
)

// callables is what runs the functions of a pipeline's staging, and their log.
type callables struct {
	caller *caller.Caller
	log    *os.File
}

func (c *callables) close() error {
	if c == nil {
		return nil
	}
	c.caller.Close()
	return c.log.Close()
}

// compile reads the steps of a lead; nil if it has none.
func (p *Pipeline) compile() (*staging.Steps, error) {
	if p.Chain.Lead == nil || len(p.Staging) == 0 {
		return nil, nil
	}
	steps, err := staging.Compile(p.Staging)
	if err != nil {
		return nil, refuse(InvalidStaging, "%s", err)
	}
	return steps, nil
}

// stage is the chain of the Task with the steps, and with a process for their functions, if there are any.
func (f *Flow) stage(steps *staging.Steps, socket string) (dispatcher.Chain, error) {
	chain := f.pipeline.Chain
	if steps == nil {
		return chain, nil
	}
	lead := *chain.Lead
	lead.Staging = steps
	if slices.ContainsFunc(f.pipeline.Staging, func(s staging.Step) bool { return s.Callable != "" }) {
		if err := f.openCallables(socket); err != nil {
			return chain, err
		}
		lead.Caller = f.callables.caller
	}
	chain.Lead = &lead
	return chain, nil
}

func (f *Flow) openCallables(socket string) error {
	s := f.lock.Spool()
	log, err := os.OpenFile(s.StagingLogPath(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	c := caller.Config{
		Dir: string(f.spec.WorkDir), InputDir: string(f.spec.InputDir), OutputDir: f.pipeline.Records, LibDir: s.LibDir(), Log: log,
	}
	if p := f.spec.Handler.Python; p != nil { // the functions know the same packages
		c.Interpreter = p.Interpreter
	}
	if socket != "" {
		c.Remote = &caller.Remote{Socket: socket, Log: s.StagingLogPath()}
	}
	f.callables = &callables{caller.New(c), log}
	return nil
}

// closeCallables ends the process of the functions.
func (f *Flow) closeCallables() error {
	err := f.callables.close()
	f.callables = nil
	return err
}
