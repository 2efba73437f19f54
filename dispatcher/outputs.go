package dispatcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// results is what the output folder has: a bit for each file, because there may be millions.
type results struct {
	outputs, errors fileSet
}

// checkOutputs compares history and output folder: an output or an error file that somebody removed means that the input
// is to be run again. Results of which no history tells are noted for when their inputs are seen.
func (d *Dispatcher) checkOutputs(now time.Time) error {
	began := time.Now()
	there, err := d.listOutputs()
	if err != nil {
		return fmt.Errorf("listing the output folder: %w", err)
	}
	var missing []spool.Name
	for f := range file(d.names.Len()) {
		if p := d.places[f]; !p.known() {
			if err := d.noteResult(f, there); err != nil {
				return err
			}
			continue
		}
		gone, err := d.compare(f, there)
		if err != nil {
			return err
		}
		if gone {
			missing = append(missing, d.name(f))
		}
	}
	d.inputs.fresh = true
	d.checked, d.checkedAt, d.checkTook = true, now, time.Since(began)
	return d.requeue(missing, "its result was removed")
}

// noteResult notes an output or error file of an input that is yet to be seen. That of a candidate counts at once.
func (d *Dispatcher) noteResult(f file, there results) error {
	switch {
	case d.places[f] == placeCandidate && there.outputs.Has(f):
		return d.adopted(d.name(f))
	case d.places[f] == placeCandidate:
	case d.places[f] == placeSettling: // it was not there when the file was seen first
	case there.outputs.Has(f):
		d.places[f] = placeOutput
	case there.errors.Has(f):
		d.places[f] = placeError
	default:
		d.places[f] = placeUnseen
	}
	return nil
}

// compare holds what is known of a file against what lies in the output folder, and reports whether its result is gone.
func (d *Dispatcher) compare(f file, there results) (gone bool, err error) {
	p, output := d.places[f], there.outputs.Has(f)
	if !output && p != placeDone && p != placeFailed {
		return false, nil
	}
	name := d.name(f)
	stem, _ := spool.MatchInput(string(name), d.spec.InputExt)
	errFile := spool.ErrName(stem)
	hasError := there.errors.Has(f) || isCut(errFile, stem) && !d.absent(errFile)
	switch {
	case output:
		return false, d.outputWins(name, stem, hasError)
	case p == placeDone:
		return !d.chain.clear[0].gone.Has(f) && d.absent(spool.OutputName(stem, d.spec.OutputExt)), nil
	default:
		return !hasError && d.absent(errFile), nil
	}
}

// isCut reports whether the name of an error file does not tell the stem that it was made from.
func isCut(errFile, stem string) bool { return len(errFile) != len(stem)+len(spool.ErrExt) }

// outputWins makes the file that has an output a done one, though it may have failed before.
func (d *Dispatcher) outputWins(name spool.Name, stem string, hasError bool) error {
	if d.at(name) == placeFailed {
		if err := d.adopted(name); err != nil {
			return err
		}
	}
	if !hasError {
		return nil
	}
	return d.lock.RemoveError(stem)
}

// listOutputs lists the output folder, and those in it if inputs lie in folders, too.
func (d *Dispatcher) listOutputs() (results, error) {
	var there results
	folders := []string{""}
	for len(folders) > 0 {
		name := folders[len(folders)-1]
		more, err := d.listOutputsIn(name, &there)
		if err != nil && (name == "" || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)) {
			return there, err // what cannot be listed is looked for by name
		}
		folders = append(folders[:len(folders)-1], more...)
	}
	return there, nil
}

// listOutputsIn lists one of these folders, and returns those in it.
func (d *Dispatcher) listOutputsIn(folder string, there *results) (more []string, err error) {
	dir, err := os.Open(filepath.Join(string(d.spec.OutputDir), folder))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(listChunk)
		for _, e := range entries {
			name := e.Name()
			if folder != "" {
				name = folder + "/" + name
			}
			switch {
			case !e.IsDir():
				d.noteOutput(name, there)
			case d.spec.Recursive && spool.Enters(e.Name()):
				more = append(more, name)
			}
		}
		if errors.Is(err, io.EOF) {
			return more, nil
		}
		if err == nil {
			err = d.keep(time.Now())
		}
		if err != nil {
			return more, err
		}
	}
}

// noteOutput notes one name of the output folder.
func (d *Dispatcher) noteOutput(name string, there *results) {
	set := &there.outputs
	stem, ok := strings.CutSuffix(name, d.spec.OutputExt)
	if !ok {
		set = &there.errors
		stem, ok = strings.CutSuffix(name, spool.ErrExt)
	}
	input := stem + d.spec.InputExt
	if _, match := spool.MatchInput(input, d.spec.InputExt); ok && match {
		set.Add(d.file(spool.Name(input)))
	}
}

// absent looks anew for a name that the listing of the output folder lacks: on a network file system listings are older
// than what they are compared with.
func (d *Dispatcher) absent(name string) bool {
	_, err := os.Lstat(filepath.Join(string(d.spec.OutputDir), name))
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// adopted takes an output that no journal tells of for the result that it is.
func (d *Dispatcher) adopted(name spool.Name) error {
	if err := d.append(spool.Entry{Kind: spool.EntryAdopted, Done: []spool.Name{name}}); err != nil {
		return err
	}
	d.move(name, placeDone)
	return nil
}
