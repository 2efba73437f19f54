package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/spool"
)

// storageLimit is how often the storage may fail under user code on one file before that counts as the file's own fault.
const storageLimit = 5

// judge compares disk, history and the ledger of executions.
func (s *system) judge() []string {
	var findings []string
	report, err := spool.Check(s.spool())
	if err != nil {
		return []string{err.Error()}
	}
	for _, p := range report.Problems {
		findings = append(findings, p.String())
	}
	for _, n := range report.Notes {
		findings = append(findings, "note: "+n.String())
	}
	if !report.Settled || !report.Complete || report.Inputs != len(s.files) {
		findings = append(findings, fmt.Sprintf("%d inputs were made; the report says %+v", len(s.files), *report))
	}
	runs, err := readRuns(filepath.Join(s.dir, "runs"))
	if err != nil {
		return append(findings, err.Error())
	}
	of := map[string][]run{}
	for _, r := range runs {
		of[r.File] = append(of[r.File], r)
	}
	for name, in := range s.files {
		for _, f := range s.judgeFile(name, in, of[name]) {
			findings = append(findings, fmt.Sprintf("%s, %+v: %s; its runs: %s", name, in, f, describe(of[name])))
		}
	}
	if s.local {
		findings = append(findings, twoAtOnce(runs)...)
	}
	slices.Sort(findings)
	return findings
}

func describe(runs []run) string {
	var all []string
	for _, r := range runs {
		all = append(all, fmt.Sprintf("%s %.4s by %s on %s", r.What, r.Run, r.Worker, r.Host))
	}
	return strings.Join(all, ", ")
}

// count counts the runs of a kind.
func count(runs []run, what string) int {
	n := 0
	for _, r := range runs {
		if r.What == what {
			n++
		}
	}
	return n
}

func (s *system) judgeFile(name string, in input, runs []run) (findings []string) {
	stem := strings.TrimSuffix(name, ".in")
	say := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	if n := len(s.published[stem+".out"]); n > 1 {
		say("it was published %d times: %+v", n, s.published[stem+".out"])
	}
	data, err := os.ReadFile(s.tree("out", stem+".out"))
	hasOutput := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("%v", err)
	}
	data2, err := os.ReadFile(s.tree("out", stem+".err"))
	hasError := err == nil
	switch {
	case hasOutput == hasError:
		say("it has an output: %t, an error file: %t", hasOutput, hasError)
	case hasOutput:
		if err := judgeOutput(name, in, data, runs); err != nil {
			say("%v", err)
		}
	default:
		if err := s.judgeError(data2, runs); err != nil {
			say("%v", err)
		}
	}
	if in.Times == 0 && hasOutput && (in.Kind == kindFail || in.Kind == kindCrash) {
		say("it can only fail, and has an output")
	}
	return findings
}

// judgeOutput: it is whole, and a run made it that told so.
func judgeOutput(name string, in input, data []byte, runs []run) error {
	if in.Kind == kindEmpty {
		if len(data) > 0 || count(runs, runDone) == 0 {
			return fmt.Errorf("its output has %d bytes", len(data))
		}
		return nil
	}
	by, err := readOutput(name, data)
	if err != nil {
		return fmt.Errorf("its output is not whole: %w", err)
	}
	for _, r := range runs {
		if r.Run == by && r.What == runDone {
			return nil
		}
	}
	return fmt.Errorf("no run %s is known to have ended well", by)
}

// judgeError: nothing is given up before its time.
func (s *system) judgeError(data []byte, runs []run) error {
	var e spool.ErrorFile
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("its error file is torn: %w", err)
	}
	retry := s.spec.Retry
	failed := count(runs, runFailed)
	crashed := count(runs, runCrashed) + s.kills
	storage := count(runs, runStorage)
	if failed >= retry.Attempts || crashed >= retry.CrashLimit && e.Crashes >= retry.CrashLimit || storage >= storageLimit {
		return nil
	}
	return fmt.Errorf("it was given up (%s: %s; %d attempts, %d crashes) after %d failures, %d crashes and kills of any file, %d failures of the storage",
		e.ExceptionType, e.Message, e.Attempts, e.Crashes, failed, crashed, storage)
}

// twoAtOnce finds processes of user code that were at work at one time. A process whose run has no end is dead if another
// has begun, and says nothing more.
func twoAtOnce(runs []run) (findings []string) {
	open := map[int]run{}
	dead := map[int]bool{}
	for _, r := range runs {
		if dead[r.PID] {
			findings = append(findings, fmt.Sprintf("process %d goes on (%s %s) after another began", r.PID, r.What, r.File))
		}
		if r.What != runBegan {
			delete(open, r.PID)
			continue
		}
		for pid := range open {
			if pid != r.PID {
				dead[pid] = true
				delete(open, pid)
			}
		}
		open[r.PID] = r
	}
	return findings
}
