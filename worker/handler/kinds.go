package handler

import (
	"cmp"
	"fmt"
	"os"

	"tigerflow.dev/tigerflow/task/protocol"
)

// pythonStart runs the handler of the package on PYTHONPATH. With -m Python would look in the working directory first,
// where the author may have a tigerflow.py; what comes first in sys.path is put back for the author's own imports.
const pythonStart = "import sys; first = [] if getattr(sys.flags, 'safe_path', False) else [sys.path.pop(0)]; " +
	"from tigerflow import _handler; sys.path[:0] = first; _handler.start()"

// served is the program that serves the Spec's task.
func (c Config) served() (program, error) {
	p := program{vars: []string{protocol.EnvHandler + "=1"}}
	if c.Narrate {
		p.vars = append(p.vars, protocol.EnvNarrate+"=1")
	}
	switch h := c.Spec.Handler; {
	case h.Python != nil:
		interpreter := cmp.Or(h.Python.Interpreter, "python3")
		p.argv = []string{interpreter, "-c", pythonStart, h.Python.Module}
		p.pythonPath = c.PythonPath
		p.what = fmt.Sprintf("interpreter %q", interpreter)
		p.mend = "install it, load it in setupCommands, or name another under handler.python.interpreter"
	case h.Program != nil:
		p.argv = append([]string{string(h.Program.Path)}, h.Program.Args...)
		p.what = fmt.Sprintf("program %q", string(h.Program.Path))
		p.mend = "build it with the Go SDK for this machine, or correct handler.program.path"
	default:
		return program{}, setupError(protocol.StageLoad, "TaskError",
			"handler names nothing to run: set one of python, builtin, program and command")
	}
	return p.enteredBy(c.Spec.Entrypoint), nil
}

// through returns the argv and environment that start the program: by its path, or behind a shell that runs the setup
// commands first.
func (p program) through(c Config, env []string) ([]string, []string, error) {
	if len(c.Spec.SetupCommands) == 0 {
		path, err := p.find(env, string(c.Spec.WorkDir))
		if err != nil {
			return nil, nil, err
		}
		env = append(env, p.vars...)
		if p.pythonPath != "" {
			env = append(env, "PYTHONPATH="+joinPath(p.pythonPath, lookupEnv(env, "PYTHONPATH")))
		}
		return append([]string{path}, p.argv[1:]...), lastOfEach(env), nil
	}
	// What is for the program alone is set when the author's lines are done, and whatever they did to it.
	var exports []string
	for _, v := range p.vars {
		exports = append(exports, "export "+v)
	}
	if p.pythonPath != "" {
		env = append(env, pythonPathEnv+"="+p.pythonPath)
		exports = append(exports, `export PYTHONPATH="$`+pythonPathEnv+`${PYTHONPATH:+:$PYTHONPATH}"`)
	}
	prefix, err := p.setupShell(c.Spec.SetupCommands, exports, c.Login)
	if err != nil {
		return nil, nil, err
	}
	return append(prefix, p.argv...), lastOfEach(env), nil
}

const pythonPathEnv = "TIGERFLOW_PYTHONPATH"

func joinPath(first, rest string) string {
	if rest == "" {
		return first
	}
	return first + string(os.PathListSeparator) + rest
}
