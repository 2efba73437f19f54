package serve

import (
	"context"

	"tigerflow.dev/tigerflow/task/protocol"
)

// Inside is a task that runs in the process that made it, without a worker's protocol: how a worker runs the builtin
// library. Its methods guard against panics; a failure is told as the protocol would tell it.
type Inside struct{ task instance }

// NewInside makes one instance of the task.
func NewInside[T Runner]() *Inside { return &Inside{task: newInstance[T]()} }

// Setup checks the task, sets its params and has it set up. The failure is nil if all went well.
func (i *Inside) Setup(ctx context.Context, setup protocol.Setup) (protocol.Stage, *protocol.Failure) {
	return prepare(ctx, i.task, setup)
}

// Run runs one file. It may be called by several goroutines at once.
func (i *Inside) Run(ctx context.Context, input, output string) *protocol.Failure {
	return guard(func() error { return i.task.run(ctx, input, output) })
}

// Teardown ends the task, once all files have ended.
func (i *Inside) Teardown(ctx context.Context) *protocol.Failure {
	return guard(func() error { return i.task.teardown(ctx) })
}
