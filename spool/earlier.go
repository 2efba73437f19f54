package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Earlier is a run of TigerFlow that left its records in an output directory. Nothing of it is ever written or removed.
//
//	.tigerflow/run.pid        the process that runs it, or did
//	.tigerflow/.symlinks/     links to the inputs that are under way
//	.tigerflow/.finished/     empty files named as the inputs that are through all tasks; what lies between is gone then
//	.tigerflow/TASK/          outputs and error files of inputs that are under way
//	TASK/                     copies of the outputs, where they are kept
type Earlier struct {
	Dir     string // its output directory
	Task    string // one of its tasks
	RootExt string // the extension of its inputs
}

const (
	earlierChunk     = 1000     // names at once: there may be millions
	earlierTraceback = 64 << 10 // bytes that are taken over, from the end
)

// FindEarlier looks for a run of TigerFlow in an output directory; nil if there is none.
func FindEarlier(dir, task, rootExt string) (*Earlier, error) {
	e := &Earlier{Dir: dir, Task: task, RootExt: rootExt}
	for _, part := range []string{".symlinks", ".finished"} {
		switch info, err := os.Lstat(e.path(part)); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return nil, nil
		case err != nil:
			return nil, err
		case !info.IsDir():
			return nil, nil
		}
	}
	return e, nil
}

func (e *Earlier) path(part string) string { return filepath.Join(e.Dir, ".tigerflow", part) }

// Running tells the process on this host that still writes the run; 0 if none is seen. A number that another program has got
// since does not count, where the system tells programs.
func (e *Earlier) Running() (pid int, err error) {
	text, err := os.ReadFile(e.path("run.pid"))
	if err != nil {
		return 0, ignoreNotExist(err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || pid == os.Getpid() {
		return 0, nil //nolint:nilerr // TigerFlow passes such a file over, too
	}
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return 0, nil // it has ended
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !bytes.Contains(command, []byte("tigerflow")) {
		return 0, nil
	}
	return pid, nil
}

// Finished calls fn with the stems of the inputs that are through all tasks, some at a time.
func (e *Earlier) Finished(fn func(stems []string) error) error {
	return eachRegular(e.path(".finished"), func(names []string) error {
		var stems []string
		for _, n := range names {
			if stem, ok := MatchInput(n, e.RootExt); ok {
				stems = append(stems, stem)
			}
		}
		return fn(stems)
	})
}

// Results calls fn with the names of what the task left, outputs and error files, some at a time, and the folder they lie in.
// Under way comes before kept: a copy there may be one that was not completed.
func (e *Earlier) Results(fn func(folder string, names []string) error) error {
	for _, folder := range []string{e.path(e.Task), filepath.Join(e.Dir, e.Task)} {
		if err := eachRegular(folder, func(names []string) error { return fn(folder, names) }); err != nil {
			return err
		}
	}
	return nil
}

// eachRegular lists the regular files of a folder, some at a time. A folder that is not there has none.
func eachRegular(folder string, fn func(names []string) error) error {
	dir, err := os.Open(folder)
	if err != nil {
		return ignoreNotExist(err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(earlierChunk)
		var names []string
		for _, e := range entries {
			if e.Type().IsRegular() {
				names = append(names, e.Name())
			}
		}
		if len(names) > 0 {
			if err := fn(names); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ReadEarlierError reads an error file of TigerFlow: JSON, or of older releases the bare traceback, whose last line is type and
// message.
func ReadEarlierError(path string) (ErrorFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return ErrorFile{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return ErrorFile{}, err
	}
	var told struct {
		Type      string `json:"exception_type"`
		Message   string `json:"message"`
		Traceback string `json:"traceback"`
	}
	if json.Unmarshal(data, &told) != nil || told.Type == "" {
		told.Traceback = strings.ToValidUTF8(string(data), "\uFFFD")
		text := strings.TrimSpace(told.Traceback)
		last := text[strings.LastIndexByte(text, '\n')+1:]
		kind, message, found := strings.Cut(last, ": ")
		if found || !strings.ContainsRune(last, ' ') {
			told.Type, told.Message = kind, message
		} else {
			told.Type, told.Message = "Error", last
		}
		if told.Type == "" {
			told.Type = "Error"
		}
	}
	if over := len(told.Traceback) - earlierTraceback; over > 0 {
		told.Traceback = strings.ToValidUTF8(told.Traceback[over:], "")
	}
	return ErrorFile{Timestamp: info.ModTime().UTC(), ExceptionType: told.Type, Message: told.Message, Traceback: told.Traceback, Attempts: 1}, nil
}

// Bring gives an output that an earlier run made, for an input with this stem, its name in the output folder too: as a link, or
// as a copy where there can be none. What has the name already stays, unless it is the beginning of this output: a copy that
// was not completed.
func (l *Lock) Bring(src, stem string) error {
	spec := l.spool.Spec()
	target := filepath.Join(string(spec.OutputDir), OutputName(stem, spec.OutputExt))
	if spec.Durability == Fsync {
		if err := SyncFile(src); err != nil {
			return err
		}
	}
	err := os.Link(src, target)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return l.complete(src, target)
	case IsStorage(err):
		return err
	}
	tmp, err := l.copyTemp(src)
	if err != nil {
		return err
	}
	mine, err := publish(tmp, target)
	if err != nil || !mine {
		_ = os.Remove(tmp)
	}
	return err
}

// complete replaces target by src if it is the beginning of that and no more.
func (l *Lock) complete(src, target string) error {
	whole, err := os.Stat(src)
	if err != nil {
		return err
	}
	there, err := os.Lstat(target)
	if err != nil || !there.Mode().IsRegular() || there.Size() >= whole.Size() {
		return err
	}
	if begins, err := beginsWith(src, target); err != nil || !begins {
		return err
	}
	tmp, err := l.copyTemp(src)
	if err != nil {
		return err
	}
	return replace(tmp, target)
}

// copyTemp copies a file into the dispatcher's own folder.
func (l *Lock) copyTemp(src string) (string, error) {
	in, err := os.Open(src)
	if err != nil {
		return "", err
	}
	defer in.Close()
	tmp := filepath.Join(l.spool.epochDir(l.epoch), newPrefix+"output")
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		_ = os.Remove(tmp)
	}
	return tmp, err
}

// beginsWith reports whether the file at path begins with all that is in the one at start.
func beginsWith(path, start string) (bool, error) {
	whole, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer whole.Close()
	part, err := os.Open(start)
	if err != nil {
		return false, err
	}
	defer part.Close()
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(part, a)
		if n == 0 && errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if _, err := io.ReadFull(whole, b[:n]); err != nil {
			return false, err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
	}
}
