package spool

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Every rule about a name on disk stands in this file. docs/spool.md tells the whole layout.
const (
	// TempPrefix begins the name of every temporary that user code is handed, as in TigerFlow.
	TempPrefix = ".~tf_"
	// ErrExt is the extension of error files. It is reserved: no input or output may have it.
	ErrExt = ".err"

	newPrefix   = ".new-" // not published yet: readers pass it over
	batchSuffix = ".batch"
	maxName     = 255 // bytes in one name, NAME_MAX of every file system we know

	requestSuffix = ".json"
	logSuffix     = ".log"
)

// Dir gives the spool folder of a Task below its output folder.
func Dir(outputDir, task string) string {
	return filepath.Join(outputDir, ".tigerflow", "tasks", task)
}

// OutputsDir is the folder of the outputs of a task that does not keep them, among the records of the Pipeline whose output
// folder this is.
func OutputsDir(outputDir, task string) string {
	return filepath.Join(Dir(outputDir, task), "outputs")
}

// MatchInput reports whether a file below the input folder is an input, and its stem, which has its folder before it.
// Temporaries and empty stems are none.
func MatchInput(name, ext string) (stem string, ok bool) {
	stem, ok = strings.CutSuffix(name, ext)
	base := stem[strings.LastIndexByte(stem, '/')+1:]
	return stem, ok && base != "" && !strings.HasPrefix(base, TempPrefix)
}

// Enters reports whether the search for inputs goes into a folder of this name: those that a dot begins are somebody's own
// business, such as a spool.
func Enters(name string) bool { return !strings.HasPrefix(name, ".") }

// OutputName is the name of the output of an input with this stem.
func OutputName(stem, ext string) string { return stem + ext }

// ErrName is the name of the error file of an input with this stem. A stem too long for the extension is cut and told
// apart by a hash, so that a failure can always be written.
func ErrName(stem string) string {
	slash := strings.LastIndexByte(stem, '/') + 1
	folder, stem := stem[:slash], stem[slash:]
	if len(stem)+len(ErrExt) <= maxName {
		return folder + stem + ErrExt
	}
	sum := sha256.Sum256([]byte(stem))
	mark := "~" + hex.EncodeToString(sum[:6])
	cut := maxName - len(ErrExt) - len(mark)
	for range utf8.UTFMax - 1 { // some file systems refuse half a character
		if !utf8.RuneStart(stem[cut]) {
			cut--
		}
	}
	return folder + stem[:cut] + mark + ErrExt
}

// TempName makes a name for a temporary. It carries the suffix of the output because libraries choose a format by it.
func TempName(ext string) string { return TempPrefix + nonce() + ext }

func nonce() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails, crypto/rand.Read
	return hex.EncodeToString(b)
}

// BatchID names a batch: the epoch of the dispatcher that made it, and a number that grows.
type BatchID struct {
	Epoch int
	Seq   int
}

func (b BatchID) String() string { return fmt.Sprintf("%06d-%08d", b.Epoch, b.Seq) }

// Compare orders batches by age.
func (b BatchID) Compare(o BatchID) int {
	return cmp.Or(cmp.Compare(b.Epoch, o.Epoch), cmp.Compare(b.Seq, o.Seq))
}

var batchPattern = regexp.MustCompile(`^([0-9]{6,9})-([0-9]{8,9})$`)

// ParseBatchID reads what String wrote.
func ParseBatchID(s string) (BatchID, error) {
	m := batchPattern.FindStringSubmatch(s)
	if m == nil {
		return BatchID{}, fmt.Errorf("batch name %q is not EPOCH-NUMBER", s)
	}
	epoch, _ := strconv.Atoi(m[1]) // nine digits fit
	seq, _ := strconv.Atoi(m[2])
	id := BatchID{Epoch: epoch, Seq: seq}
	if id.String() != s { // one spelling each: the file is found again by its id
		return BatchID{}, fmt.Errorf("batch name %q has zeros too many, it should be %s", s, id)
	}
	return id, nil
}

// batchOfFile reads the name of a batch file.
func batchOfFile(name string) (BatchID, bool) {
	s, ok := strings.CutSuffix(name, batchSuffix)
	if !ok {
		return BatchID{}, false
	}
	id, err := ParseBatchID(s)
	return id, err == nil
}

func epochName(epoch int) string { return fmt.Sprintf("%06d", epoch) }

var workerPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.[0-9]{1,6}\.r[0-9]{1,6}$`)

// ValidWorker reports whether id has the form KEY.INDEX.rN that names a worker's folder.
func ValidWorker(id string) bool { return workerPattern.MatchString(id) }

func (s *Spool) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *Spool) epochDir(epoch int) string   { return s.path("dispatch", epochName(epoch)) }
func (s *Spool) queueDir() string            { return s.path("queue") }
func (s *Spool) workerDir(id string) string  { return s.path("workers", id) }
func (s *Spool) ledgerPath(epoch int) string { return filepath.Join(s.epochDir(epoch), "ledger.jsonl") }

func (s *Spool) batchPath(id BatchID) string {
	return filepath.Join(s.queueDir(), id.String()+batchSuffix)
}

func (s *Spool) journalPath(id string) string { return filepath.Join(s.workerDir(id), "journal.jsonl") }
func (s *Spool) currentPath(id string) string { return filepath.Join(s.workerDir(id), "current") }
func (s *Spool) claimedDir(id string) string  { return filepath.Join(s.workerDir(id), "claimed") }
func (s *Spool) tmpDir(id string) string      { return filepath.Join(s.workerDir(id), "tmp") }
func (s *Spool) fencedPath(id string) string  { return filepath.Join(s.workerDir(id), "fenced") }
func (s *Spool) exitPath(id string) string    { return filepath.Join(s.workerDir(id), "exit.json") }
func (s *Spool) askedPath() string            { return s.path("asked.json") }
func (s *Spool) bornPath(id string) string    { return filepath.Join(s.workerDir(id), "born.json") }

// QueueDir is the folder of the batches that wait; workers watch it.
func (s *Spool) QueueDir() string { return s.queueDir() }

// WorkersDir is the folder of the workers' folders; dispatchers watch it.
func (s *Spool) WorkersDir() string { return s.path("workers") }

// RequestsDir is the folder of what people ask; dispatchers watch it.
func (s *Spool) RequestsDir() string { return s.path("requests") }

func (s *Spool) requestPath(id string) string {
	return filepath.Join(s.RequestsDir(), id+requestSuffix)
}

// JournalPath is the file a dispatcher watches for news of a worker.
func (s *Spool) JournalPath(worker string) string { return s.journalPath(worker) }

// LogsDir is the folder of the workers' logs.
func (s *Spool) LogsDir() string { return s.path("logs") }

// LibDir is the folder of what InstallLib installs.
func (s *Spool) LibDir() string { return s.path("lib") }

// StagingLogPath is the file that takes the prints of the functions of a pipeline's staging.
func (s *Spool) StagingLogPath() string { return filepath.Join(s.LogsDir(), "staging"+logSuffix) }

// LogPath is the file that takes the prints of user code of a worker.
func (s *Spool) LogPath(worker string) string { return filepath.Join(s.LogsDir(), worker+logSuffix) }

// OldLogPath is where the content of a log goes when it is full.
func OldLogPath(log string) string { return log + ".1" }

// LogWorker tells the worker of a file in LogsDir; false if it is no present log of one.
func LogWorker(name string) (worker string, ok bool) {
	worker, ok = strings.CutSuffix(name, logSuffix)
	return worker, ok && ValidWorker(worker)
}
