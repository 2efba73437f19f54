package spool_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// A dispatcher feeds three files, a worker takes them: one is done, one fails, one is given back.
func Example() {
	root, err := os.MkdirTemp("", "spool")
	check(err)
	defer os.RemoveAll(root)
	input, output := filepath.Join(root, "in"), filepath.Join(root, "out")
	check(os.Mkdir(input, 0o777))
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		check(os.WriteFile(filepath.Join(input, name), []byte(name), 0o666))
	}
	owner := spool.Owner{Plane: "embedded", Name: "shout"}
	s, err := spool.Create(spool.Dir(output, "shout"), owner, spool.Spec{
		Task: "shout", Type: spool.TypeLocal, InputDir: spool.Name(input), InputExt: ".txt", OutputDir: spool.Name(output), OutputExt: ".out",
		Concurrency: 1, Durability: spool.None, Retry: spool.Retry{Attempts: 1, CrashLimit: 3},
	})
	check(err)

	contender := spool.Contender{Spool: s, Owner: owner}
	lock, err := contender.Try()
	check(err)
	_, err = lock.Feed(spool.Batch{Files: []spool.Name{"a.txt", "b.txt", "c.txt"}})
	check(err)

	id := "4f1c2d3e5a6b7c8d.0.r1" // in earnest its first part is s.ID()
	work(s, id)
	dispatch(lock, id)
	check(lock.Close())

	show(root, s.Path())
	report, err := spool.Check(s.Path())
	check(err)
	fmt.Fprintf(os.Stdout, "\n%d inputs: %d done, %d failed, %d waiting; problems: %v\n",
		report.Inputs, report.Done, report.Failed, report.Waiting, report.Problems)

	// Output:
	// out/.tigerflow/tasks/shout/dispatch/000001/lease
	// out/.tigerflow/tasks/shout/dispatch/000001/ledger.jsonl
	// out/.tigerflow/tasks/shout/dispatch/000001/owner.json
	// out/.tigerflow/tasks/shout/queue/000001-00000002.batch
	// out/.tigerflow/tasks/shout/spool.json
	// out/.tigerflow/tasks/shout/workers/4f1c2d3e5a6b7c8d.0.r1/born.json
	// out/.tigerflow/tasks/shout/workers/4f1c2d3e5a6b7c8d.0.r1/current
	// out/.tigerflow/tasks/shout/workers/4f1c2d3e5a6b7c8d.0.r1/exit.json
	// out/.tigerflow/tasks/shout/workers/4f1c2d3e5a6b7c8d.0.r1/fenced
	// out/.tigerflow/tasks/shout/workers/4f1c2d3e5a6b7c8d.0.r1/journal.jsonl
	// out/a.out
	// out/b.err
	//
	// queue/000001-00000002.batch
	// 00000013 e982c6bd {"files":["c.txt"]}
	//
	// workers/4f1c2d3e5a6b7c8d.0.r1/journal.jsonl
	// 0000003b ebc1a8ae {"t":"done","b":"000001-00000001","f":["a.txt"],"s":[0.25]}
	// 0000005f 97f0993f {"t":"failed","b":"000001-00000001","f":["b.txt"],"err":{"type":"ValueError","message":"no b"}}
	// 00000030 0869b497 {"t":"back","b":"000001-00000001","f":["c.txt"]}
	//
	// dispatch/000001/ledger.jsonl
	// 000000a0 f92f2029 {"t":"fold","w":"4f1c2d3e5a6b7c8d.0.r1","o":259,"done":["a.txt"],"s":0.25,"tried":[{"f":"b.txt","err":{"type":"ValueError","message":"no b"}}],"back":["c.txt"]}
	// 0000004d 5981e736 {"t":"failed","f":"b.txt","err":{"type":"ValueError","message":"no b"},"n":1}
	// 00000041 be65f210 {"t":"ended","w":"4f1c2d3e5a6b7c8d.0.r1","o":259,"why":"Drained"}
	// 0000000e b4718b17 {"t":"closed"}
	//
	// 3 inputs: 1 done, 1 failed, 1 waiting; problems: []
}

// work is a worker's life.
func work(s *spool.Spool, id string) {
	w, born, err := s.Bear(id, spool.Born{Time: time.Now()})
	check(err)
	if !born {
		return // another process has the slot
	}
	batches, err := s.Queue()
	check(err)
	_, mine, err := w.Claim(batches[0])
	check(err)
	if !mine {
		return // another worker was quicker
	}
	tmp, err := w.NewTemp(s.Spec().OutputExt)
	check(err)
	check(os.WriteFile(tmp, []byte("A.TXT!"), 0o666)) // user code
	info, failure, err := w.Inspect(tmp)
	check(err)
	if failure == nil {
		_, err = w.Publish(tmp, filepath.Join(string(s.Spec().OutputDir), "a.out"), info)
		check(err)
	}
	batch := batches[0].String()
	for _, event := range []spool.Event{
		{Kind: spool.EventDone, Batch: batch, Files: []spool.Name{"a.txt"}, Seconds: []float64{0.25}},
		{Kind: spool.EventFailed, Batch: batch, Files: []spool.Name{"b.txt"}, Failure: &spool.Failure{Type: "ValueError", Message: "no b"}},
		{Kind: spool.EventBack, Batch: batch, Files: []spool.Name{"c.txt"}},
	} {
		check(w.Journal.Append(event))
	}
	check(w.Journal.Flush())
	check(w.Drop(batches[0]))
	check(w.Exit(spool.ExitDrained, nil))
}

// dispatch is what a dispatcher does about it.
func dispatch(lock *spool.Lock, worker string) {
	tail := lock.Spool().JournalTail(worker, 0)
	fold := spool.Entry{Kind: spool.EntryFold, Worker: worker}
	check(tail.Read(func(payload []byte, _ int64) error {
		var event spool.Event
		err := json.Unmarshal(payload, &event)
		switch event.Kind {
		case spool.EventDone:
			fold.Done, fold.Seconds = append(fold.Done, event.Files...), fold.Seconds+event.Seconds[0]
		case spool.EventFailed:
			fold.Tried = append(fold.Tried, spool.Try{File: event.Files[0], Failure: event.Failure})
		default:
			fold.Back = append(fold.Back, event.Files...)
		}
		return err
	}))
	fold.Offset = tail.Offset()
	check(lock.Append(fold))
	failure := fold.Tried[0].Failure
	_, err := lock.WriteError("b", spool.ErrorFile{File: "b.txt", ExceptionType: failure.Type, Message: failure.Message, Attempts: 1})
	check(err)
	check(lock.Append(spool.Entry{Kind: spool.EntryFailed, File: "b.txt", Failure: failure, Attempts: 1}))
	_, err = lock.Fence(worker)
	check(err)
	check(lock.Append(spool.Entry{Kind: spool.EntryEnded, Worker: worker, Offset: fold.Offset, Reason: string(spool.ExitDrained)}))
	_, err = lock.Feed(spool.Batch{Files: fold.Back})
	check(err)
}

// show prints the names of all files, and all records.
func show(root, dir string) {
	check(filepath.WalkDir(filepath.Join(root, "out"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			fmt.Fprintln(os.Stdout, strings.TrimPrefix(path, root+"/"))
		}
		return err
	}))
	for _, name := range []string{"queue/000001-00000002.batch", "workers/4f1c2d3e5a6b7c8d.0.r1/journal.jsonl", "dispatch/000001/ledger.jsonl"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		check(err)
		fmt.Fprintf(os.Stdout, "\n%s\n%s", name, data)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
