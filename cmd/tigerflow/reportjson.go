package main

import (
	"math"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// reportJSON is what `report --json` prints: the sections that TigerFlow has, each with what it has there and more.
// docs/pipeline.md documents it. Fields are added, never changed.
type reportJSON struct {
	Status   *statusJSON              `json:"status,omitempty"`
	Progress *progressJSON            `json:"progress,omitempty"`
	Metrics  map[string]metricsJSON   `json:"metrics,omitzero"`
	Errors   map[string][]failureJSON `json:"errors,omitzero"`
}

type statusJSON struct {
	Running     bool         `json:"running"`
	PID         *int         `json:"pid"`
	Dispatchers []holderJSON `json:"dispatchers"`
}

type holderJSON struct {
	Tasks    []string  `json:"tasks"`
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	Owner    string    `json:"owner"`
	Since    time.Time `json:"since"`
	LastSeen time.Time `json:"last_seen"`
}

type progressJSON struct {
	Pipeline pipelineJSON `json:"pipeline"`
	Tasks    []taskJSON   `json:"tasks"`
}

type pipelineJSON struct {
	Finished   int64  `json:"finished"`
	InProgress int64  `json:"in_progress"`
	Candidates *int64 `json:"candidates"`
	Staged     *int64 `json:"staged"`
	Errored    int64  `json:"errored"`
}

type taskJSON struct {
	Name      string `json:"name"`
	Parent    string `json:"parent,omitempty"`
	Processed int64  `json:"processed"`
	Failed    int64  `json:"failed"`
	Staged    *int64 `json:"staged"`
	Running   int64  `json:"running"`
	Workers   int    `json:"workers"`
}

type metricsJSON struct {
	Summary summaryJSON `json:"summary"`
}

type summaryJSON struct {
	Count int64   `json:"count"`
	AvgMS float64 `json:"avg_ms"`
}

type failureJSON struct {
	Path string `json:"path"`
	spool.ErrorFile
	Timestamp *time.Time `json:"timestamp"` // null if the error file has gone
}

func (s *survey) json(o reportOptions) (r reportJSON) {
	tasks := s.selected(o)
	if o.shows(sectionStatus) {
		r.Status = statusOf(tasks)
	}
	if o.shows(sectionProgress) {
		r.Progress = &progressJSON{Pipeline: s.pipelineJSON(o), Tasks: []taskJSON{}}
		for _, t := range tasks {
			r.Progress.Tasks = append(r.Progress.Tasks, taskJSON{
				Name: t.name(), Parent: t.spool.Spec().Parent, Processed: t.counts.Done, Failed: t.counts.Failed,
				Staged: known(t.waiting), Running: t.running, Workers: t.workers,
			})
		}
	}
	if o.shows(sectionMetrics) {
		r.Metrics = map[string]metricsJSON{}
		for _, t := range tasks {
			if n := t.counts.Timed; n > 0 {
				r.Metrics[t.name()] = metricsJSON{summaryJSON{Count: n, AvgMS: math.Round(1e6*t.counts.Seconds/float64(n)) / 1e3}}
			}
		}
	}
	if o.shows(sectionErrors) {
		r.Errors = map[string][]failureJSON{}
		s.eachFailed(tasks, func(t *surveyed, path string, e *spool.ErrorFile) bool {
			failure := failureJSON{Path: path, ErrorFile: *e}
			if !e.Timestamp.IsZero() {
				failure.Timestamp = &e.Timestamp
			}
			r.Errors[t.name()] = append(r.Errors[t.name()], failure)
			return true
		})
	}
	return r
}

func statusOf(tasks []*surveyed) *statusJSON {
	status := &statusJSON{Dispatchers: []holderJSON{}}
	for _, h := range holders(tasks) {
		if !h.Silent() && !status.Running {
			status.Running, status.PID = true, &h.PID
		}
		status.Dispatchers = append(status.Dispatchers, holderJSON{
			Tasks: h.tasks, Host: h.Host, PID: h.PID, Owner: h.Owner.String(), Since: h.Since, LastSeen: h.Seen.UTC(),
		})
	}
	return status
}

// pipelineJSON sums over what the directory has.
func (s *survey) pipelineJSON(o reportOptions) (p pipelineJSON) {
	var staged, candidates int64
	for _, f := range s.families {
		if o.task != "" && !f.has(o.task) {
			continue
		}
		counts := f.tracker.Counts()
		p.Finished += counts.Finished
		p.Errored += counts.Failed
		p.InProgress += f.begun
		if staged < 0 || f.fresh < 0 {
			staged, candidates = -1, -1
			continue
		}
		staged += f.fresh
		candidates += f.options
	}
	p.Staged, p.Candidates = known(staged), known(candidates)
	return p
}

// known is nil for a number that is not.
func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}
