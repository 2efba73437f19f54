package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Report is what Check finds on disk.
type Report struct {
	// Inputs counts the files of the Task: those in the input folder, and those that are gone from it after they were
	// done or had failed. Each is in one of the three states: it has an output, or only an error file, or neither.
	Inputs, Done, Failed, Waiting int
	// Complete tells that no file waits.
	Complete bool
	// Settled tells that the last dispatcher ended in good order. Otherwise one is at work or was killed, the counts are
	// those of a moment, and only what no moment can excuse is a problem.
	Settled bool
	// Problems are breaches of the spool's rules, ordered by path.
	Problems []Problem
	// Notes are oddities that users may have good reasons for.
	Notes []Problem
}

// Problem is something on disk that should not be as it is.
type Problem struct {
	Kind   ProblemKind
	Path   string
	Detail string
}

// String is one line, whatever the name of the file is.
func (p Problem) String() string {
	path := p.Path
	if !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		path = strconv.Quote(path)
	}
	return fmt.Sprintf("%s: %s: %s", p.Kind, path, p.Detail)
}

// ProblemKind says which rule is broken.
type ProblemKind string

// The rules of which Check finds breaches. Those marked with * hold in a settled spool only.
const (
	ProblemBoth      ProblemKind = "OutputAndError" // * an input has an output and an error file
	ProblemNoOutput  ProblemKind = "OutputMissing"  // * the history says done, and there is no output
	ProblemNoError   ProblemKind = "ErrorMissing"   // * the history says failed, and there is neither error file nor output
	ProblemTwice     ProblemKind = "DoneTwice"      // journals told twice that a file is done, and it was not requeued between
	ProblemNotFolded ProblemKind = "NotFolded"      // a journal tells that a file is done, its fold passed over it
	ProblemCorrupt   ProblemKind = "Corrupt"        // a journal or ledger has damage that no crash explains
	ProblemTemp      ProblemKind = "TempLeft"       // * a worker that ended left temporaries
	ProblemStray     ProblemKind = "TempInOutput"   // a temporary lies in the output folder
	ProblemClaim     ProblemKind = "ClaimLeft"      // * a worker that ended still holds a batch
	ProblemStale     ProblemKind = "StaleBatch"     // * a batch of an older epoch is in the queue
	NoteForeign      ProblemKind = "Foreign"        // an output or error file of no known input
)

// Check reads all of a spool, its inputs and its outputs, and compares them with the rules of docs/spool.md. It writes
// nothing, and replays the history with code of its own, so that it can judge the dispatcher's. An error means that it
// could not read; what it read and found wrong is in the Report.
func Check(dir string) (*Report, error) {
	s, err := Open(dir)
	if err != nil {
		return nil, err
	}
	c := &checker{s: s, spec: s.Spec(), files: map[Name]*history{}, folded: map[string]int64{}, report: &Report{}}
	if err := c.run(); err != nil {
		return nil, fmt.Errorf("checking %s: %w", dir, err)
	}
	return c.report, nil
}

type checker struct {
	s      *Spool
	spec   *Spec
	top    int       // the last epoch
	closed time.Time // when it was closed, by the file system's clock
	files  map[Name]*history
	folded map[string]int64 // how far each worker's journal is folded
	report *Report
	final  []Problem // those that count only if the spool is settled
}

// run reads the ledgers before the journals: what they say is folded must then stand in the journals. Claims come after
// the queue for the like reason.
func (c *checker) run() error {
	if err := c.settled(); err != nil {
		return err
	}
	before := c.top
	for _, step := range []func() error{c.readLedgers, c.readJournals, c.compare, c.checkQueue, c.checkWorkers} {
		if err := step(); err != nil {
			return err
		}
	}
	was := c.report.Settled
	if err := c.settled(); err != nil {
		return err
	}
	c.report.Settled = c.report.Settled && was && c.top == before // nobody has begun meanwhile
	if c.report.Settled {
		c.report.Problems = append(c.report.Problems, c.final...)
	}
	byPath := func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Detail, b.Detail))
	}
	slices.SortFunc(c.report.Problems, byPath)
	slices.SortFunc(c.report.Notes, byPath)
	return nil
}

// settled looks whether the last epoch, if there is one, was closed.
func (c *checker) settled() (err error) {
	if c.top, err = c.s.topEpoch(); err != nil {
		return err
	}
	if c.report.Settled = c.top == 0; c.report.Settled {
		return nil
	}
	info, err := os.Stat(c.s.ledgerPath(c.top))
	if err != nil {
		return err
	}
	c.closed = info.ModTime()
	c.report.Settled, err = c.s.closed(c.top)
	return err
}

func (c *checker) never(kind ProblemKind, path, format string, args ...any) {
	c.report.Problems = append(c.report.Problems, Problem{kind, path, fmt.Sprintf(format, args...)})
}

func (c *checker) finally(kind ProblemKind, path, format string, args ...any) {
	c.final = append(c.final, Problem{kind, path, fmt.Sprintf(format, args...)})
}

// compare puts every file into its state by what lies in the folders, and holds the history against it.
func (c *checker) compare() error {
	outputs, err := c.listOutputs() // first: what is done meanwhile then counts as waiting and not as foreign
	if err != nil {
		return err
	}
	inputs, err := c.listInputs()
	if err != nil {
		return err
	}
	for name := range inputs {
		c.of(name)
	}
	for name, h := range c.files {
		stem, ok := MatchInput(string(name), c.spec.InputExt)
		if !ok {
			continue // the spec is not the one that the history was written under
		}
		output, errFile := OutputName(stem, c.spec.OutputExt), ErrName(stem)
		c.count(inputs[name], outputs[output] || h.deleted, outputs[errFile])
		c.compareFile(name, h, outputs[output], outputs[errFile])
		delete(outputs, output)
		delete(outputs, errFile)
	}
	for name := range outputs {
		c.report.Notes = append(c.report.Notes, Problem{NoteForeign, c.output(name), "no input is known that it belongs to"})
	}
	c.report.Complete = c.report.Waiting == 0
	return nil
}

func (c *checker) count(input, output, errFile bool) {
	r := c.report
	switch {
	case output:
		r.Done++
	case errFile:
		r.Failed++
	case input:
		r.Waiting++
	default:
		return // input and result are both gone
	}
	r.Inputs++
}

func (c *checker) compareFile(name Name, h *history, output, errFile bool) {
	path := filepath.Join(string(c.spec.InputDir), string(name))
	if output && errFile {
		c.finally(ProblemBoth, path, "it has an output and an error file")
	}
	if (h.done || h.journaled) && !output && !h.deleted {
		c.finally(ProblemNoOutput, path, "it was done, and has no output")
	}
	if h.failed && !h.journaled && !output && !errFile {
		c.finally(ProblemNoError, path, "it had failed, and has no error file")
	}
	if h.folds > 1 {
		c.never(ProblemTwice, path, "journals told %d times that it was done", h.folds)
	}
}

func (c *checker) output(name string) string { return filepath.Join(string(c.spec.OutputDir), name) }

// listInputs lists what the input folder has: regular files, and links to such.
func (c *checker) listInputs() (map[Name]bool, error) {
	inputs := map[Name]bool{}
	dir := filepath.Clean(string(c.spec.InputDir))
	output, err := os.Stat(string(c.spec.OutputDir))
	if ignoreNotExist(err) != nil {
		return nil, err
	}
	err = walk(dir, c.spec.Recursive, output, func(name string, e fs.DirEntry) {
		if _, ok := MatchInput(name, c.spec.InputExt); !ok {
			return
		}
		regular := e.Type().IsRegular()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, name))
			regular = err == nil && info.Mode().IsRegular()
		}
		if regular {
			inputs[Name(name)] = true
		}
	})
	return inputs, err
}

// listOutputs lists outputs and error files.
func (c *checker) listOutputs() (map[string]bool, error) {
	outputs := map[string]bool{}
	err := walk(filepath.Clean(string(c.spec.OutputDir)), c.spec.Recursive, nil, func(n string, e fs.DirEntry) {
		switch {
		case strings.HasPrefix(e.Name(), TempPrefix):
			c.never(ProblemStray, c.output(n), "temporaries belong into the folders of workers")
		case strings.HasSuffix(n, c.spec.OutputExt), strings.HasSuffix(n, ErrExt):
			outputs[n] = true
		}
	})
	return outputs, err
}

// readFolder lists a folder; one that is not there is empty.
func readFolder(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return entries, err
}

func (c *checker) checkQueue() error {
	ids, err := c.s.Queue()
	for _, id := range ids {
		if id.Epoch < c.top {
			c.finally(ProblemStale, c.s.batchPath(id), "the epoch is %d", c.top)
		}
	}
	return err
}

// checkWorkers looks at what workers left that had ended when the last dispatcher closed.
func (c *checker) checkWorkers() error {
	ids, err := c.s.Workers()
	if err != nil {
		return err
	}
	for _, id := range ids {
		exit, err := os.Stat(c.s.exitPath(id))
		if ignoreNotExist(err) != nil {
			return err
		}
		if !c.s.IsFenced(id) && (err != nil || exit.ModTime().After(c.closed)) {
			continue
		}
		temps, err := readFolder(c.s.tmpDir(id))
		if err != nil {
			return err
		}
		if len(temps) > 0 {
			c.finally(ProblemTemp, c.s.tmpDir(id), "%d temporaries, %s first", len(temps), temps[0].Name())
		}
		claims, err := c.s.Claims(id)
		if err != nil {
			return err
		}
		if len(claims) > 0 {
			c.finally(ProblemClaim, c.s.claimedDir(id), "%d batches, %s first", len(claims), claims[0])
		}
	}
	return nil
}
