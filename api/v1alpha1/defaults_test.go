package v1alpha1_test

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// accessors are the effective values of a spec.
func accessors(task *v1alpha1.Task) map[string]any {
	s := &task.Spec
	idle, completes := s.IdleBeforeComplete()
	values := map[string]any{
		"DisplayName": task.DisplayName(), "FilesInHand": s.FilesInHand(), "IsSuspended": s.IsSuspended(),
		"FileTimeout": s.FileTimeout(), "DrainGrace": s.DrainGrace(), "IdleBeforeComplete": idle, "Completes": completes,
		"SyncsOutputs": s.SyncsOutputs(), "MinWorkers": s.MinWorkers(), "MaxWorkers": s.MaxWorkers(),
		"MaxPending": s.MaxPending(), "HandlerProcesses": s.HandlerProcesses(), "WorkersWithinLimit": s.WorkersWithinLimit(), "WorkerIdleTimeout": s.WorkerIdleTimeout(), "DrainTarget": s.DrainTarget(),
		"Attempts": s.Attempts(), "Backoff": s.Backoff(), "CrashLimit": s.CrashLimit(), "CPUs": s.CPUs(), "GPUs": s.GPUs(),
		"MemoryBytes": s.MemoryBytes(), "BridgeName": s.BridgeName(), "BreakerFirst": s.BreakerFirst(), "BreakerInARow": s.BreakerInARow(),
	}
	if python := s.Handler.Python; python != nil {
		values["PythonInterpreter"] = python.PythonInterpreter()
	}
	return values
}

// The defaults are written twice, in the schema and in Go: here they are held together.
func TestSchemaAndGoHaveTheSameDefaults(t *testing.T) {
	a := mustAdmission(t, "Task")
	for name, patch := range map[string]string{
		"nothing set":     "",
		"empty structs":   "scaling: {}, retry: {}, failureBreaker: {}, resources: {}, container: {}",
		"slurm":           "type: Slurm, slurm: {time: 2h}",
		"python":          "handler: {builtin: null, python: {module: a.py}}",
		"set to the zero": "suspend: false, completeAfterIdle: 0s, timeout: 0s, scaling: {minWorkers: 0}, resources: {gpus: 0}, failureBreaker: {first: 0, inARow: 0}",
	} {
		t.Run(name, func(t *testing.T) {
			obj := patchedTask(t, patch)
			bare := asTask(t, obj)
			if errs := a.admit(obj, nil); len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			defaulted := accessors(asTask(t, obj))
			for accessor, want := range accessors(bare) {
				if got := defaulted[accessor]; got != want {
					t.Errorf("%s() is %v by the schema and %v without it", accessor, got, want)
				}
			}
		})
	}
}

func TestAccessorsReturnWhatIsSet(t *testing.T) {
	task := asTask(t, patchedTask(t, `{taskName: Shout_it, type: Slurm, slurm: {time: 2h, bridge: della}, localAsync: {concurrency: 7},
		suspend: true, timeout: 1h, processes: 4, rateLimit: {requests: 3, per: 1m}, drainTimeout: 5m, completeAfterIdle: 0s, durability: None,
		scaling: {minWorkers: 2, maxWorkers: 9, maxPending: 4, workerIdleTimeout: 0s, drainTarget: 1m},
		retry: {attempts: 5, backoff: 0s, crashLimit: 1}, failureBreaker: {first: 0, inARow: 7}, resources: {cpus: 8, memory: 12Gi, gpus: 2},
		handler: {builtin: null, python: {module: a.py, interpreter: /opt/python}}}`))
	want := map[string]any{
		"DisplayName": "Shout_it", "FilesInHand": int32(7), "IsSuspended": true, "FileTimeout": time.Hour,
		"DrainGrace": 5 * time.Minute, "IdleBeforeComplete": time.Duration(0), "Completes": true, "SyncsOutputs": false,
		"MinWorkers": int32(2), "MaxWorkers": int32(9), "MaxPending": int32(4), "WorkerIdleTimeout": time.Duration(0),
		"DrainTarget": time.Minute, "Attempts": int32(5), "Backoff": time.Duration(0), "CrashLimit": int32(1),
		"HandlerProcesses": int32(4), "WorkersWithinLimit": int32(3),
		"CPUs": int32(8), "GPUs": int32(2), "MemoryBytes": int64(12 << 30), "BridgeName": "della", "PythonInterpreter": "/opt/python",
		"BreakerFirst": int32(0), "BreakerInARow": int32(7),
	}
	got := accessors(task)
	for accessor, value := range want {
		if got[accessor] != value {
			t.Errorf("%s() is %v, expected %v", accessor, got[accessor], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d accessors, %d expected", len(got), len(want))
	}
}

func TestDefaultsOfATaskThatNobodyDefaulted(t *testing.T) {
	task := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Name: "echo"}}
	want := map[string]any{
		"DisplayName": "echo", "FilesInHand": int32(1), "MaxWorkers": int32(1), "MaxPending": int32(1), "HandlerProcesses": int32(1), "WorkersWithinLimit": int32(1),
		"DrainGrace": time.Minute, "Backoff": 30 * time.Second, "Completes": false, "SyncsOutputs": true, "CPUs": int32(1),
		"BreakerFirst": int32(20), "BreakerInARow": int32(100),
	}
	got := accessors(task)
	for accessor, value := range want {
		if got[accessor] != value {
			t.Errorf("%s() is %v, expected %v", accessor, got[accessor], value)
		}
	}
}

func asTask(t *testing.T, obj map[string]any) *v1alpha1.Task {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return mustAdmission(t, "Task").strict(t, data).(*v1alpha1.Task)
}
