package config

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/slurmtext"
)

// slurm reads max_workers and worker_resources. The first releases had both in resources.
func (r *reader) slurm(m *mapping, task *v1alpha1.PipelineTask) {
	line := m.line
	n := m.take("worker_resources")
	where := "worker_resources"
	if old := m.take("resources"); n == nil && old != nil {
		n, where = old, "resources"
	}
	holder := m
	if n == nil {
		r.fault(line, "%s: worker_resources is missing: kind slurm needs cpus, memory and time", m.what)
		m.take("max_workers")
		return
	}
	res := r.mapping(n, m.what+": "+where)
	if res.values["max_workers"] != nil {
		holder = res
	}
	if holder.values["max_workers"] == nil {
		r.fault(line, "%s: max_workers is missing: kind slurm needs it", m.what)
	}
	task.Scaling = &v1alpha1.Scaling{MaxWorkers: int32(holder.number("max_workers", 1, maxWorkers, 1))}
	if idle := r.options.WorkerIdle; idle > 0 && idle != v1alpha1.DefaultWorkerIdleTimeout {
		task.Scaling.WorkerIdleTimeout = &metav1.Duration{Duration: idle}
	}
	if res.values["cpus"] == nil {
		r.fault(res.line, "%s: cpus is missing", res.what)
	}
	task.Resources = &v1alpha1.Resources{CPUs: int32(res.number("cpus", 1, 4096, 1))}
	if gpus := res.number("gpus", 0, 1024, 0); gpus > 0 {
		g := int32(gpus)
		task.Resources.GPUs = &g
	}
	task.Resources.Memory = r.memory(res)
	task.Slurm = &v1alpha1.Slurm{Time: r.time(res)}
	if options := res.take("sbatch_options"); options != nil {
		for _, option := range r.sequence(options, res.line, res.what+": sbatch_options") {
			task.Slurm.SbatchOptions = append(task.Slurm.SbatchOptions, strings.TrimSpace(option.Value))
		}
	}
	res.rest()
}

// memory reads an amount as Slurm does: G is 2³⁰ bytes, with or without B.
func (r *reader) memory(res *mapping) *resource.Quantity {
	line := res.lines["memory"]
	text := res.required("memory")
	if text == "" {
		return nil
	}
	bytes, err := slurmtext.Memory(text)
	if err != nil {
		r.fault(line, "%s: memory %q: %s", res.what, text, err)
		return nil
	}
	return resource.NewQuantity(bytes, resource.BinarySI)
}

// time reads a wall time in the formats of sbatch --time.
func (r *reader) time(res *mapping) metav1.Duration {
	line := res.lines["time"]
	text := res.required("time")
	if text == "" {
		return metav1.Duration{}
	}
	d, err := slurmtext.Time(text)
	if err != nil {
		r.fault(line, "%s: time %q: %s", res.what, text, err)
	}
	return metav1.Duration{Duration: d}
}
