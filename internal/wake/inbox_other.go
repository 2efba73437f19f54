//go:build !linux

package wake

// inbox is for systems that tell when a writer has closed its file. This is none.
type inbox struct{}

func newInbox() *inbox { return nil }

func (*inbox) add(string)     {}
func (*inbox) take() []string { return nil }
func (*inbox) close()         {}
func (*inbox) run(func())     {}
